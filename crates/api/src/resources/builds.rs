//! Builds: from source to slug.

use axum::extract::{Path, State};
use axum::routing::{delete, get};
use axum::{Json, Router};
use control::builds::{self, NewBuild};
use http::StatusCode;
use model::build::{Build, BuildSource, BuildStatus};
use model::{App, BuildId, Remote};
use serde::{Deserialize, Serialize};

use crate::app_path::AppPath;
use crate::body::Body;
use crate::error::{ApiError, Result};
use crate::ranges::{Key, Listed, Page, Range};
use crate::resources::{buildpack_registry, sources};
use crate::state::ApiState;
use crate::streams::{Licence, Stream};
use crate::wire::{IdRef, UserRef};

/// Routes of builds.
pub fn routes() -> Router<ApiState> {
    Router::new()
        .route("/apps/{app}/builds", get(list).post(create))
        .route("/apps/{app}/builds/{build}", get(info).delete(cancel))
        .route("/apps/{app}/builds/{build}/result", get(result))
        .route("/apps/{app}/build-cache", delete(purge_cache))
}

#[derive(Serialize)]
struct BuildBody {
    app: IdRef,
    buildpacks: Option<Vec<Buildpack>>,
    created_at: String,
    id: String,
    output_stream_url: String,
    release: Option<IdRef>,
    slug: Option<IdRef>,
    source_blob: SourceBlob,
    stack: String,
    status: &'static str,
    updated_at: String,
    user: UserRef,
}

#[derive(Serialize)]
struct Buildpack {
    name: String,
    url: String,
}

#[derive(Serialize)]
struct SourceBlob {
    checksum: Option<String>,
    url: String,
    version: Option<String>,
    version_description: Option<String>,
}

impl SourceBlob {
    fn new(source: &BuildSource, version: Option<String>, state: &ApiState) -> Self {
        let (checksum, url) = match source {
            BuildSource::Stored(blob) => {
                let licence = Licence::new(Stream::Archive, blob);
                (Some(blob.clone()), state.config.stream_url(&licence))
            }
            BuildSource::Remote { remote, checksum } => (checksum.clone(), remote.to_string()),
        };
        let checksum = checksum.map(|hash| format!("SHA256:{hash}"));
        Self { checksum, url, version, version_description: None }
    }
}

impl BuildBody {
    fn new(build: Build, app: &App, state: &ApiState) -> Self {
        let output = Licence::new(Stream::BuildOutput, build.id);
        let named = |name: String| Buildpack { url: buildpack_registry::url(&name), name };
        let buildpacks: Vec<_> = build.buildpacks.into_iter().map(named).collect();
        Self {
            app: IdRef::new(app.id),
            buildpacks: (!buildpacks.is_empty()).then_some(buildpacks),
            created_at: build.created_at.rfc3339(),
            id: build.id.to_string(),
            output_stream_url: state.config.stream_url(&output),
            release: build.release.map(IdRef::new),
            slug: build.slug.map(IdRef::new),
            source_blob: SourceBlob::new(&build.source, build.source_version, state),
            stack: build.stack,
            status: build.status.as_str(),
            updated_at: build.updated_at.rfc3339(),
            user: UserRef::new(build.actor, &build.actor_email),
        }
    }
}

impl Listed for BuildBody {
    const SORTABLE: &'static [&'static str] = &["created_at", "id"];

    fn key(&self, attribute: &str) -> Key {
        Key::Text(match attribute {
            "id" => self.id.clone(),
            _ => self.created_at.clone(),
        })
    }
}

#[derive(Deserialize)]
struct New {
    source_blob: NewSource,
    #[serde(default)]
    buildpacks: Option<Vec<NewBuildpack>>,
}

#[derive(Deserialize)]
struct NewSource {
    url: String,
    version: Option<String>,
    checksum: Option<String>,
}

#[derive(Deserialize)]
struct NewBuildpack {
    url: Option<String>,
    name: Option<String>,
}

async fn create(
    State(state): State<ApiState>,
    AppPath { caller, app }: AppPath,
    Body(New { source_blob, buildpacks }): Body<New>,
) -> Result<(StatusCode, Json<BuildBody>)> {
    let source = source(&state, &source_blob.url, source_blob.checksum.as_deref()).await?;
    let named = buildpacks.unwrap_or_default().into_iter();
    let text = |pack: NewBuildpack| pack.url.or(pack.name);
    let name = |text: String| buildpack_registry::plain_name(&text).to_owned();
    let buildpacks = named.filter_map(text).map(name).collect();
    let version = source_blob.version.filter(|version| !version.is_empty());
    let new = NewBuild { source, source_version: version, buildpacks };
    let build = builds::create(&state.control, &caller.account, app.id, new).await?;
    Ok((StatusCode::CREATED, Json(BuildBody::new(build, &app, &state))))
}

/// What lies at `url`: an upload to this platform, or something that the build will fetch.
async fn source(state: &ApiState, url: &str, checksum: Option<&str>) -> Result<BuildSource> {
    let checksum = checksum.map(digits).transpose()?;
    let Some(blob) = sources::uploaded(state, url).await? else {
        let remote: Remote = url.parse().map_err(|error| ApiError::invalid(format!("{error}")))?;
        if checksum.is_some() && matches!(remote, Remote::Git { .. }) {
            return Err(ApiError::invalid("A git repository has no checksum; name a commit."));
        }
        return Ok(BuildSource::Remote { remote, checksum });
    };
    match checksum.filter(|digits| *digits != blob) {
        None => Ok(BuildSource::Stored(blob)),
        Some(digits) => Err(ApiError::invalid(format!(
            "Source checksum `SHA256:{digits}` is not that of the uploaded source."
        ))),
    }
}

/// The hex digits of `SHA256:…`, in lower case.
fn digits(checksum: &str) -> Result<String> {
    let (algorithm, digits) = checksum.split_once(':').unwrap_or(("SHA256", checksum));
    let is_hash = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if algorithm.eq_ignore_ascii_case("sha256") && is_hash {
        return Ok(digits.to_ascii_lowercase());
    }
    Err(ApiError::invalid("Source checksum must be `SHA256:` and 64 hex digits."))
}

async fn purge_cache(
    State(state): State<ApiState>,
    AppPath { caller, app }: AppPath,
) -> Result<Json<Empty>> {
    control::apps::purge_cache(&state.control, &caller.account, app.id).await?;
    Ok(Json(Empty {}))
}

#[derive(Serialize)]
struct Empty {}

async fn list(
    State(state): State<ApiState>,
    range: Range,
    AppPath { caller, app }: AppPath,
) -> Result<Page<BuildBody>> {
    let builds = builds::list(&state.control, &caller.account, app.id).await?;
    range.page(builds.into_iter().map(|build| BuildBody::new(build, &app, &state)).collect())
}

async fn info(
    State(state): State<ApiState>,
    Path((_, build)): Path<(String, String)>,
    AppPath { caller, app }: AppPath,
) -> Result<Json<BuildBody>> {
    let build = builds::info(&state.control, &caller.account, app.id, parse(&build)?).await?;
    Ok(Json(BuildBody::new(build, &app, &state)))
}

async fn cancel(
    State(state): State<ApiState>,
    Path((_, build)): Path<(String, String)>,
    AppPath { caller, app }: AppPath,
) -> Result<Json<BuildBody>> {
    let build = builds::cancel(&state.control, &caller.account, app.id, parse(&build)?).await?;
    Ok(Json(BuildBody::new(build, &app, &state)))
}

fn parse(id: &str) -> Result<BuildId> {
    id.parse().map_err(|_| ApiError::not_found("build"))
}

/// What a finished build printed, as lines.
#[derive(Serialize)]
struct ResultBody {
    build: ResultBuild,
    exit_code: u8,
    lines: Vec<Line>,
}

#[derive(Serialize)]
struct ResultBuild {
    id: String,
    output_stream_url: String,
    status: &'static str,
}

#[derive(Serialize)]
struct Line {
    stream: &'static str,
    line: String,
}

/// The answer holds the whole output, so it takes no more than this; the stream has the rest.
const RESULT_BYTES: usize = 1024 * 1024;

async fn result(
    State(state): State<ApiState>,
    Path((_, build)): Path<(String, String)>,
    AppPath { caller, app }: AppPath,
) -> Result<Json<ResultBody>> {
    let build = builds::info(&state.control, &caller.account, app.id, parse(&build)?).await?;
    if build.status == BuildStatus::Pending {
        return Err(ApiError::not_found("result"));
    }
    let output = Licence::new(Stream::BuildOutput, build.id);
    let text = printed(&state, build.id).await?;
    let line = |line: &str| Line { stream: "STDOUT", line: format!("{line}\n") };
    Ok(Json(ResultBody {
        build: ResultBuild {
            id: build.id.to_string(),
            output_stream_url: state.config.stream_url(&output),
            status: build.status.as_str(),
        },
        exit_code: u8::from(build.status != BuildStatus::Succeeded),
        lines: text.lines().map(line).collect(),
    }))
}

/// The first [`RESULT_BYTES`] that a finished build printed.
async fn printed(state: &ApiState, build: BuildId) -> Result<String> {
    let Some(mut follow) = builds::follow(&state.control, build).await? else {
        return Err(ApiError::not_found("result"));
    };
    let mut bytes = Vec::new();
    while bytes.len() < RESULT_BYTES {
        match follow.next().await.map_err(|error| ApiError::internal(&error))? {
            Some(chunk) => bytes.extend_from_slice(&chunk),
            None => break,
        }
    }
    bytes.truncate(RESULT_BYTES);
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
