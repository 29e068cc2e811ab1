// Answers every request with a greeting.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"
)

func greet(w http.ResponseWriter, _ *http.Request) {
	greeting := os.Getenv("GREETING")
	if greeting == "" {
		greeting = "ahoy"
	}
	fmt.Fprintf(w, "Hello from %s: %s\n", os.Getenv("DYNO"), greeting)
}

func main() {
	http.HandleFunc("/", greet)
	log.Fatal(http.ListenAndServe(":"+os.Getenv("PORT"), nil))
}
