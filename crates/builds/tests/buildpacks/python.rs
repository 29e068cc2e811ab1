//! Python, for real: pip, Pipenv, Poetry and uv with PyPI.

use crate::rig::App;

#[test]
fn the_flask_app_is_built_and_runs_where_dynos_have_it() {
    let app = App::example("python-flask");
    let first = app.build();
    assert!(first.contains("-----> Python app detected"), "{first}");
    assert_eq!(app.answer("outcome"), "compiled", "{first}");
    let second = app.build();
    assert!(second.contains("-----> Restoring cache"), "{second}");
    assert!(!second.contains("Downloading"), "{second}");
    let said =
        app.run("gunicorn --check-config app:app && command -v gunicorn && echo $WEB_CONCURRENCY");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "/app/.heroku/python/bin/gunicorn");
    assert!(lines[1].parse::<u32>().is_ok_and(|count| count >= 1));
}

#[test]
fn a_python_version_that_the_stack_lacks_is_refused_with_what_there_is() {
    for (file, text) in [(".python-version", "# old\n2.7\n"), ("runtime.txt", "python-3.4.1\n")] {
        let app = App::empty().with(&[("requirements.txt", ""), (file, text)]);
        let transcript = app.build();
        assert!(transcript.contains(&format!(" !     {file} asks for Python")), "{transcript}");
        assert!(transcript.contains(" !     It has: 3."), "{transcript}");
        assert_eq!(app.answer("outcome"), "compile-failed");
    }
}

/// A project that needs one real package, and another only for development.
const PYPROJECT: &str = "[project]\nname = \"demo\"\nversion = \"1\"\nrequires-python = \">=3.9\"\n\
    dependencies = [\"six==1.16.0\"]\n[dependency-groups]\ndev = [\"iniconfig==2.0.0\"]\n";

/// Builds an app twice whose lock a tool of PyPI has made of `file`.
fn built_from_a_lock_of(tool: &str, file: &str, text: &str) {
    let app = App::empty().with(&[(file, text)]);
    app.lock_with_python_tool(&[tool, "lock"]);
    let first = app.build();
    assert_eq!(app.answer("outcome"), "compiled", "{first}");
    assert!(first.contains(&format!("-----> Installing dependencies using {tool}")), "{first}");
    let said = app.run(
        "python -c 'import six; print(six.__version__)'; python -c 'import iniconfig' 2>&1 | tail -1",
    );
    assert_eq!(said, "1.16.0\nModuleNotFoundError: No module named 'iniconfig'\n");
    let second = app.build();
    assert!(second.contains("-----> Restoring cache"), "{second}");
    assert!(!second.contains(&format!("-----> Installing {tool}\n")), "{second}");
}

#[test]
fn uv_installs_what_its_lock_says() {
    built_from_a_lock_of("uv", "pyproject.toml", PYPROJECT);
}

#[test]
fn poetry_installs_what_its_lock_says() {
    // By the interface that every index has: not all that stand in for PyPI have its own.
    let project = format!(
        "{PYPROJECT}[tool.poetry]\npackage-mode = false\n\
         [[tool.poetry.source]]\nname = \"simple\"\nurl = \"https://pypi.org/simple/\"\npriority = \"primary\"\n"
    );
    built_from_a_lock_of("poetry", "pyproject.toml", &project);
}

#[test]
fn pipenv_installs_what_its_lock_says() {
    let pipfile = "[packages]\nsix = \"==1.16.0\"\n[dev-packages]\niniconfig = \"==2.0.0\"\n";
    built_from_a_lock_of("pipenv", "Pipfile", pipfile);
}

#[test]
fn a_project_without_a_lock_is_installed_with_pip() {
    let app = App::empty().with(&[("pyproject.toml", PYPROJECT), ("demo.py", "answer = 42\n")]);
    let transcript = app.build();
    assert_eq!(app.answer("outcome"), "compiled", "{transcript}");
    assert_eq!(app.run("cd / && python -c 'import six, demo; print(demo.answer)'"), "42\n");
}

#[test]
fn djangos_static_files_are_collected_unless_that_is_switched_off() {
    let settings = "SECRET_KEY='x'\nINSTALLED_APPS=['django.contrib.staticfiles']\n\
                    STATIC_URL='s/'\nSTATIC_ROOT='/app/collected'\nimport os\n\
                    STATICFILES_DIRS=[os.path.join(os.path.dirname(os.path.dirname(__file__)), 'assets')]\n\
                    STATIC_ROOT=os.path.join(os.path.dirname(os.path.dirname(__file__)), 'collected')\n";
    let manage = "import os, sys\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'site1.settings')\n\
                  from django.core.management import execute_from_command_line\n\
                  execute_from_command_line(sys.argv)\n";
    let files = [
        ("requirements.txt", "django>=4.2,<5.3\n"),
        ("manage.py", manage),
        ("site1/__init__.py", ""),
        ("site1/settings.py", settings),
        ("site1/wsgi.py", ""),
        ("assets/a.css", "a {}"),
    ];
    let app = App::empty().with(&files);
    let transcript = app.build();
    assert_eq!(app.answer("outcome"), "compiled", "{transcript}");
    assert!(
        transcript.contains("-----> $ python manage.py collectstatic --noinput"),
        "{transcript}"
    );
    assert!(transcript.contains("web: gunicorn site1.wsgi"), "{transcript}");
    assert!(app.path("tree/collected/a.css").exists(), "{transcript}");
    let app = app.config("DISABLE_COLLECTSTATIC", "1");
    assert!(app.build().contains("Skipping: DISABLE_COLLECTSTATIC is set."));
    assert!(!app.path("tree/collected").exists());
}

#[test]
fn a_package_installed_in_place_is_found_where_dynos_have_it() {
    let setup = "from setuptools import setup\nsetup(name='inplace', version='1', py_modules=['inplace'])\n";
    let files = [("setup.py", setup), ("inplace.py", "answer = 42\n")];
    let app = App::empty().with(&files);
    let transcript = app.build();
    assert_eq!(app.answer("outcome"), "compiled", "{transcript}");
    assert_eq!(
        app.run("cd / && PYTHONPATH= python -c 'import inplace; print(inplace.answer)'"),
        "42\n"
    );
}
