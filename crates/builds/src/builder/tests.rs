//! The builder over a real database and real dyno manager, as far as one gets without a container:
//! the shim's program is one that fails. What happens inside a container is shown by
//! `tests/buildpacks.rs`, the whole by the black-box suite.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Mutex;

use control::apps::{self, NewApp};
use control::builds::{self as verbs, NewBuild};
use control::{Control, Scheme, Settings, sources};
use flate2::Compression;
use flate2::write::GzEncoder;
use model::build::{Build, BuildSource, BuildStatus};
use model::{Account, App, DynoSize, LogSink};
use sandbox::protocol::{Limits, Root};
use tokio_util::task::TaskTracker;

use super::*;
use crate::process_types::ProcessTypes;
use crate::results::Compiled;
use crate::transcript::Transcript;
use crate::workspace::Workspace;
use crate::workspace::tests::config;
use crate::{inside, job::Job, launch};

/// A platform without a router, in its own directory.
struct Lab {
    dir: tempfile::TempDir,
    control: Control,
    dynos: Dynos,
    who: Account,
    app: App,
    cancel: CancellationToken,
}

impl Lab {
    async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let control = control(dir.path());
        let cancel = CancellationToken::new();
        let dynos = dynos(dir.path(), &control, &cancel).await;
        let first = control::accounts::ensure_first(&control, "ada@example.com").await;
        let (who, _token) = first.expect("made").expect("the first");
        let new = NewApp { name: Some("demo".parse().expect("a name")), stack: None };
        let app = apps::create(&control, &who, new).await.expect("created");
        Self { dir, control, dynos, who, app, cancel }
    }

    fn config(&self) -> Config {
        config(self.dir.path())
    }

    /// Begins to run builds.
    fn run(&self, config: Config) {
        let builder = Builder { control: self.control.clone(), dynos: self.dynos.clone(), config };
        let cancel = self.cancel.clone();
        tokio::spawn(async move { run(builder, cancel).await.expect("started") });
    }

    async fn push(&self, files: &[(&str, &str)], new: impl FnOnce(&mut NewBuild)) -> Build {
        let source = sources::put(&self.control, archive(files).as_slice(), 1 << 20).await;
        let mut build = NewBuild {
            source: BuildSource::Stored(source.expect("stored").name),
            source_version: None,
            buildpacks: Vec::new(),
        };
        new(&mut build);
        verbs::create(&self.control, &self.who, self.app.id, build).await.expect("queued")
    }

    async fn ended(&self, build: &Build) -> Build {
        let ended = verbs::wait_ended(&self.control, build.id);
        timeout(ended).await.expect("found")
    }

    /// The whole output of a build that has ended.
    async fn output(&self, build: &Build) -> String {
        let follow = verbs::follow(&self.control, build.id).await.expect("read");
        let mut follow = follow.expect("there is one");
        let mut output = Vec::new();
        while let Some(bytes) = timeout(follow.next()).await.expect("read") {
            output.extend_from_slice(&bytes);
        }
        String::from_utf8(output).expect("text")
    }

    /// A claimed build whose container is already done.
    async fn job(&self, build: &Build) -> Job {
        let claimed = verbs::claim_next(&self.control).await.expect("asked").expect("queued");
        assert_eq!(claimed.id, build.id);
        let config = self.config();
        workspace::prepare(&config).expect("prepared");
        let place = Workspace::of(&config, build.id);
        place.create(&model::ConfigVars::default(), "").expect("made");
        let output = verbs::output(&self.control, build.id).expect("opened");
        let house = Arc::new(House {
            control: self.control.clone(),
            dynos: self.dynos.clone(),
            config,
            buildpacks: self.dir.path().join("buildpacks"),
            keys: Keys::default(),
            cancel: self.cancel.clone(),
        });
        let transcript = Transcript::new(output);
        Job { house, build: claimed, transcript, place, dyno: Mutex::default() }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

async fn timeout<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("in time")
}

fn control(dir: &Path) -> Control {
    let store = store::Store::open(&dir.join("db"), [1; 32]).expect("opened");
    let blobs = store::blobs::BlobStore::open(&dir.join("blobs")).expect("opened");
    let outputs = store::outputs::Outputs::open(&dir.join("outputs")).expect("opened");
    let (logs, _lines, _lost) = LogSink::channel(1000);
    let settings = Settings {
        base_domain: "localhost".to_owned(),
        scheme: Scheme::Http,
        port: 8300,
        git_host: "localhost".to_owned(),
        platform_hosts: Vec::new(),
        stacks: vec!["heroku-24".to_owned()],
        default_size: DynoSize::Standard1X,
        repositories: dir.join("repositories"),
        caches: dir.join("caches"),
        slugs_per_app: 20,
    };
    Control::new(store, blobs, outputs, logs, settings)
}

async fn dynos(dir: &Path, control: &Control, cancel: &CancellationToken) -> Dynos {
    let build_limits = Limits {
        memory_bytes: 1 << 30,
        memory_quota_bytes: 1 << 30,
        cpu_shares: 1024,
        cpu_millis: None,
        pids: 512,
        open_files: 1024,
        disk_bytes: 1 << 30,
    };
    let config = dynos::Config {
        exe: "/usr/bin/false".into(),
        run_dir: dir.join("run"),
        scratch: None,
        runtime: "/usr/bin/false".into(),
        cgroup_parent: "hythe-builds-test".to_owned(),
        root: Root::Host,
        sizes: model::size::SizeTable::default(),
        addresses: dynos::Addresses {
            first: Ipv4Addr::new(10, 231, 0, 0),
            slots: 4,
            interface_prefix: "hybt-".to_owned(),
            id_base: 1 << 20,
        },
        disk_bytes: 1 << 30,
        open_files: 1024,
        build_limits,
        timing: dynos::Timing::default(),
        limits: model::plan::Limits::default(),
    };
    let rooms = dynos::Rooms {
        store: control.store.clone(),
        blobs: control.blobs.clone(),
        outputs: control.outputs.clone(),
        logs: control.logs.clone(),
    };
    dynos::start(config, rooms, cancel.clone(), &TaskTracker::new()).await.expect("started")
}

fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let gzip = GzEncoder::new(Vec::new(), Compression::fast());
    let mut tar = tar::Builder::new(gzip);
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, content.as_bytes()).expect("appended");
    }
    tar.into_inner().expect("ended").finish().expect("compressed")
}

fn is_empty(dir: &Path) -> bool {
    std::fs::read_dir(dir).expect("a directory").next().is_none()
}

#[tokio::test]
async fn a_build_whose_container_cannot_start_fails_and_says_so_and_the_next_goes_on() {
    let lab = Lab::new().await;
    lab.run(lab.config());
    let files = [("package.json", "{}"), (".slugignore", "*.psd\n"), ("a.psd", "")];
    let first = lab.push(&files, |_| {}).await;
    let second = lab.push(&files, |_| {}).await;
    for build in [&first, &second] {
        assert_eq!(lab.ended(build).await.status, BuildStatus::Failed);
    }
    let output = lab.output(&first).await;
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(
        lines[..2],
        [
            "-----> Building on the Heroku-24 stack",
            "-----> Deleting 1 file matching .slugignore patterns."
        ]
    );
    assert!(lines[2].starts_with(" !     "), "the reason of the dyno manager: {output}");
    assert!(output.ends_with("\n\n !     Push failed\n"), "{output}");
}

#[tokio::test]
async fn a_source_that_is_refused_is_told_and_nothing_is_left() {
    let lab = Lab::new().await;
    let config = lab.config();
    lab.run(config.clone());
    let mut tar = archive(&[("x", "")]);
    tar.truncate(20);
    let blob = sources::put(&lab.control, tar.as_slice(), 1000).await.expect("stored");
    let build = lab.push(&[], |new| new.source = BuildSource::Stored(blob.name)).await;
    assert_eq!(lab.ended(&build).await.status, BuildStatus::Failed);
    assert_eq!(
        lab.output(&build).await,
        "-----> Building on the Heroku-24 stack\n\n \
         !     The source is not a readable tar.gz archive.\n\n !     Push failed\n"
    );
    let cleaned = async {
        while !is_empty(&config.work_dir) || !is_empty(&config.secrets_dir) {
            tokio::task::yield_now().await;
        }
    };
    timeout(cleaned).await;
}

#[tokio::test]
async fn a_buildpack_that_nobody_knows_is_refused_by_name() {
    let lab = Lab::new().await;
    lab.run(lab.config());
    let unknown = "heroku/cobol".to_owned();
    let build = lab.push(&[("x", "")], |new| new.buildpacks = vec![unknown]).await;
    assert_eq!(lab.ended(&build).await.status, BuildStatus::Failed);
    assert!(lab.output(&build).await.contains(" !     Buildpack heroku/cobol is not known."));
}

#[tokio::test]
async fn no_build_starts_on_a_disk_that_is_too_full() {
    let lab = Lab::new().await;
    let mut config = lab.config();
    config.bounds.free_bytes = u64::MAX;
    lab.run(config);
    let build = lab.push(&[("package.json", "{}")], |_| {}).await;
    assert_eq!(lab.ended(&build).await.status, BuildStatus::Failed);
    assert!(
        lab.output(&build)
            .await
            .contains(" !     Build stopped: the disk of the platform has less")
    );
}

#[tokio::test]
async fn a_compiled_tree_is_packed_and_released_in_herokus_words() {
    let lab = Lab::new().await;
    let version = "409cdef5a1b2c3d4".to_owned();
    let build = lab.push(&[], |new| new.source_version = Some(version)).await;
    let job = lab.job(&build).await;
    std::fs::write(job.place.tree().join("server.js"), "x".repeat(5000)).expect("written");
    let compiled = compiled("release: node migrate.js\nworker: node w.js\n", "web: npm start\n");
    job.transcript.say(&compiled.process_types.transcript());
    let bytes = launch::pack(&job).await.expect("packed");
    job.transcript.say(&crate::transcript::packed(bytes));
    launch::run(&job, &lab.app, compiled).await.expect("released");
    verbs::succeed(&lab.control, build.id).await.expect("ended");
    let size = crate::sizes::human(bytes);
    assert_eq!(
        lab.output(&build).await,
        format!(
            "-----> Discovering process types\n       \
             Procfile declares types     -> release, worker\n       \
             Default types for buildpack -> web\n\n\
             -----> Compressing...\n       Done: {size}\n-----> Launching...\n \
             !     Release command declared: this new release will not be available until the command succeeds.\n       \
             Released v3\n       http://demo.localhost:8300/ deployed to Hythe\n"
        )
    );
    let build = lab.ended(&build).await;
    let slug = build.slug.expect("it has one");
    let slug = control::slugs::info(&lab.control, &lab.who, lab.app.id, slug).await.expect("found");
    assert_eq!((slug.bytes, slug.process_types.len()), (bytes, 3));
    assert_eq!(slug.buildpack_description.as_deref(), Some("Node.js"));
}

#[tokio::test]
async fn a_slug_beyond_the_limit_is_refused() {
    let lab = Lab::new().await;
    let build = lab.push(&[], |_| {}).await;
    let mut job = lab.job(&build).await;
    Arc::get_mut(&mut job.house).expect("not shared").config.bounds.slug_bytes = 10;
    let failure = launch::pack(&job).await.expect_err("refused");
    assert!(failure.transcript().contains("is too large (max is 10B).\n"));
}

#[tokio::test]
async fn the_same_tree_gives_the_same_slug() {
    let lab = Lab::new().await;
    let config = lab.config();
    let tree = lab.dir.path().join("tree");
    std::fs::create_dir(&tree).expect("made");
    std::fs::write(tree.join("run"), "#!").expect("written");
    let setuid = std::os::unix::fs::PermissionsExt::from_mode(0o4755);
    std::fs::set_permissions(tree.join("run"), setuid).expect("set");
    std::os::unix::fs::symlink("/etc/shadow", tree.join("link")).expect("linked");
    let mut images = Vec::new();
    for name in ["one", "two"] {
        let image = lab.dir.path().join(name);
        crate::slug::pack(&config, &tree, &image).await.expect("packed");
        images.push(std::fs::read(image).expect("there"));
    }
    assert_eq!(images[0], images[1]);
    let listing = program_says("/usr/bin/unsquashfs", &["-lln", &image_path(&lab, "one")]).await;
    assert!(listing.contains("-rwxr-xr-x 1000/1000"), "{listing}");
    assert!(listing.contains("link -> /etc/shadow"), "{listing}");
}

#[tokio::test]
async fn a_second_build_of_one_version_is_warned_of() {
    let lab = Lab::new().await;
    let version = "409cdef5".to_owned();
    let first = lab.push(&[], |new| new.source_version = Some(version.clone())).await;
    let job = lab.job(&first).await;
    launch::pack(&job).await.expect("packed");
    launch::run(&job, &lab.app, compiled("", "")).await.expect("released");
    verbs::succeed(&lab.control, first.id).await.expect("ended");
    lab.run(lab.config());
    let again = lab.push(&[("x", "")], |new| new.source_version = Some(version)).await;
    lab.ended(&again).await;
    assert!(lab.output(&again).await.starts_with(
        " !\n ! ## Warning - The same version of this code has already been built: 409cdef5\n"
    ));
}

#[test]
fn a_build_sees_its_pieces_at_fixed_places_and_only_three_are_writable() {
    let config = config(Path::new("/data"));
    let id = model::BuildId::random();
    let place = Workspace::of(&config, id);
    let mounts = inside::mounts(id, &place, "/caches/x/files".into(), Path::new("/packs"));
    let writable: Vec<_> =
        mounts.iter().filter(|one| one.writable).map(|one| &one.source).collect();
    assert_eq!(writable, [&place.tree(), &PathBuf::from("/caches/x/files"), &place.results()]);
    let tree = mounts[0].target.display().to_string();
    assert!(tree.starts_with("/tmp/build_"), "{tree}");
    let packs = inside::Packs::Detect(crate::buildpacks::all());
    assert_eq!(inside::command(&packs), "exec /tmp/codon/driver.sh auto");
}

fn compiled(procfile: &str, defaults: &str) -> Compiled {
    let parse = model::procfile::parse;
    let process_types = ProcessTypes { declared: parse(procfile), defaults: parse(defaults) };
    Compiled { language: "Node.js".to_owned(), pack: "heroku/nodejs".to_owned(), process_types }
}

fn image_path(lab: &Lab, name: &str) -> String {
    lab.dir.path().join(name).display().to_string()
}

async fn program_says(program: &str, arguments: &[&str]) -> String {
    crate::program::run(Path::new(program), arguments).await.expect("runs")
}

#[tokio::test]
async fn an_uploaded_slug_becomes_one_that_can_be_released() {
    use control::slug_uploads::{self, NewUpload};
    let lab = Lab::new().await;
    lab.run(lab.config());
    let announce = || {
        let process_types = [("web".to_owned(), "sh run.sh".to_owned())].into();
        let (checksum, commit, stack) = (None, None, None);
        let new = NewUpload { process_types, checksum, commit, buildpack_description: None, stack };
        slug_uploads::create(&lab.control, &lab.who, lab.app.id, new)
    };
    let good = announce().await.expect("announced");
    let bytes = archive(&[("app/run.sh", "x"), ("beside", "y")]);
    slug_uploads::upload(&lab.control, good.id, bytes.as_slice()).await.expect("uploaded");
    slug_uploads::packed(&lab.control, lab.app.id, good.id).await.expect("packed");
    let slug = control::slugs::info(&lab.control, &lab.who, lab.app.id, good.id).await;
    let image = lab.control.blobs.path(&slug.expect("a slug").blob).expect("there");
    let listed = program_says("/usr/bin/unsquashfs", &["-lc", &image.display().to_string()]).await;
    assert!(listed.contains("run.sh") && !listed.contains("beside"), "{listed}");
    let bad = announce().await.expect("announced");
    slug_uploads::upload(&lab.control, bad.id, &b"no archive"[..]).await.expect("uploaded");
    let why = slug_uploads::packed(&lab.control, lab.app.id, bad.id)
        .await
        .expect_err("refused")
        .to_string();
    assert_eq!(why, "The source is not a readable tar.gz archive.");
    let left = std::fs::read_dir(lab.config().work_dir).expect("listed").count();
    assert_eq!(left, 0, "nothing is left of the work");
}
