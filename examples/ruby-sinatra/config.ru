require "sinatra/base"

# Says who answers, so that it can be seen how requests are spread.
class App < Sinatra::Base
  get "/" do
    content_type "text/plain"
    "Hello from #{ENV.fetch("DYNO", "nowhere")}: #{ENV.fetch("GREETING", "ahoy")}\n"
  end
end

run App
