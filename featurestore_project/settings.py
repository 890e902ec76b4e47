"""Every setting, read top to bottom from the environment; with none set, the embedded parts run.

Not for logic: apps read these at their edges and pass values in.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from celery.schedules import schedule
from django.core.exceptions import ImproperlyConfigured

from featurestore_project.embedded import broker_url, redis_url, secret_key
from featurestore_project.env import (
    database_from_url,
    env,
    env_bool,
    env_bucket,
    env_int,
    env_issuer,
    env_list,
    env_numbers,
    env_origins,
    env_roles,
    env_secret,
    env_umask,
    env_url,
    env_walls,
    weakness_of,
)
from featurestore_project.unfold import UNFOLD  # noqa: F401 - the admin reads it here

BASE_DIR = Path(__file__).resolve().parent.parent

# --- Where state lives -------------------------------------------------------------------------

# Permissions, in octal, that files and folders of ours never have. A start closes what is open.
FILE_UMASK = env_umask("FILE_UMASK", "077")
os.umask(FILE_UMASK)  # here, because whatever process writes for us has read this first
# Folder for everything the embedded parts keep: database, offline store, Redis dump, logs, keys.
STATE_DIR = Path(env("STATE_DIR") or BASE_DIR / "var").resolve()
# The offline store's Delta tables: a folder, or s3://bucket/prefix with OFFLINE_STORE_ENDPOINT,
# _REGION, _PATH_STYLE, _ACCESS_KEY_ID and _SECRET_ACCESS_KEY (or _SECRET_ACCESS_KEY_FILE).
OFFLINE_BUCKET = env_bucket("OFFLINE_STORE")
# The folder; of a store in a bucket OFFLINE_CACHE, which has what this machine read of it. Copies
# are removed there, so that it is never the folder that was a store before.
OFFLINE_STORE = (
    Path(env("OFFLINE_CACHE") or STATE_DIR / "offline-cache").resolve()
    if OFFLINE_BUCKET
    else Path(env("OFFLINE_STORE") or STATE_DIR / "offline").resolve()
)
# MB that copies of a bucket's files may take on this machine; those not used for longest go, and
# one question that reads more is refused.
OFFLINE_CACHE_MB = env_int("OFFLINE_CACHE_MB", 50_000, minimum=100)
# Folder in which all processes keep what they count; emptied by the start of a whole server.
METRICS_DIR = Path(env("METRICS_DIR") or STATE_DIR / "metrics").resolve()
# Comma-separated folders below which projects may read source files; a project can narrow them.
FILE_ROOTS = [
    str(Path(root).resolve()) for root in env_list("FILE_ROOTS", str(BASE_DIR / "examples"))
]

# --- Who we are on the web ---------------------------------------------------------------------

# Shows tracebacks in answers; for a developer's own machine only.
DEBUG = env_bool("DEBUG", False)
# One machine, plain HTTP on loopback, state in STATE_DIR; true unless a database or Redis is named.
EMBEDDED = env_bool("EMBEDDED", not env_secret("DATABASE_URL") and not env_secret("REDIS_URL"))
# Host names the server answers to, comma-separated; loopback always is, for health checks.
ALLOWED_HOSTS = [*env_list("ALLOWED_HOSTS"), "localhost", "127.0.0.1", "[::1]"]
# Origins (scheme and host) whose forms are accepted behind a proxy, comma-separated.
CSRF_TRUSTED_ORIGINS = env_list("CSRF_TRUSTED_ORIGINS")
# Origins of pages that may ask the API from a browser, with a token; empty: none but our own.
CORS_ORIGINS = env_origins("CORS_ORIGINS")
# Signs sessions; SECRET_KEY_FILE names a file that holds it. Embedded: made once, in STATE_DIR.
SECRET_KEY = env_secret("SECRET_KEY") or (secret_key(STATE_DIR) if EMBEDDED else "")
if not SECRET_KEY:
    raise ImproperlyConfigured(
        "SECRET_KEY is not set, and with DATABASE_URL or REDIS_URL set none is made up: "
        "set SECRET_KEY or SECRET_KEY_FILE to at least 50 random characters."
    )
if not DEBUG and (weakness := weakness_of(SECRET_KEY)):
    raise ImproperlyConfigured(
        f"SECRET_KEY is too weak: {weakness}. Whoever guesses it can make sessions. Make one with "
        'python3 -c "import secrets; print(secrets.token_urlsafe(64))".'
    )
# File, in TOML, of the connections by which sources read other systems, and of the projects that
# may use each; refused unless only its owner may read it. Read again when it changes.
CONNECTIONS_FILE = str(Path(file).resolve()) if (file := env("CONNECTIONS_FILE")) else ""
# The same text in the environment, where there is no file.
CONNECTIONS = env("CONNECTIONS")
# Files that hold secrets: no project's source is ever read there.
SECRET_FILES = [
    Path(file).resolve()
    for name in (
        "SECRET_KEY",
        "DATABASE_URL",
        "REDIS_URL",
        "BROKER_URL",
        "METRICS_TOKEN",
        "EMAIL_HOST_PASSWORD",
        "OIDC_CLIENT_SECRET",
        "CONNECTIONS",
        "OFFLINE_STORE_SECRET_ACCESS_KEY",
    )
    if (file := env(f"{name}_FILE"))
]
# Cookies travel over HTTPS only; off in the embedded default, which speaks plain HTTP on loopback.
SECURE_COOKIES = env_bool("SECURE_COOKIES", not EMBEDDED and not DEBUG)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_COOKIES
# Seconds for which browsers insist on HTTPS, said in answers over HTTPS only; 0 says nothing.
SECURE_HSTS_SECONDS = env_int("SECURE_HSTS_SECONDS", 365 * 86400 if SECURE_COOKIES else 0)
# Redirects plain HTTP; needs TRUST_PROXY when a proxy ends TLS.
SECURE_SSL_REDIRECT = env_bool("SECURE_SSL_REDIRECT", False)
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
# Believes the X-Forwarded-Proto header; only behind a proxy that always sets it.
TRUST_PROXY = env_bool("TRUST_PROXY", False)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUST_PROXY else None
# How many proxies of ours a request passes; each appends to X-Forwarded-For where it comes from.
# 0: the header is not believed, and limits by address count what connects to us.
TRUSTED_PROXIES = env_int("TRUSTED_PROXIES", 0, minimum=0)
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"  # names of features are in addresses
# Hours after which a log-in ends whatever somebody does, and minutes after which it ends unused.
SESSION_HOURS = env_int("SESSION_HOURS", 10, minimum=1)
SESSION_IDLE_MINUTES = env_int("SESSION_IDLE_MINUTES", 60, minimum=1)
SESSION_COOKIE_AGE = SESSION_HOURS * 3600
# No other site's form or frame sends it; a link to us does.
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_HTTPONLY = True
# Over HTTPS no neighbour under the same domain can set a cookie of such a name.
SESSION_COOKIE_NAME = "__Host-assay_session" if SECURE_COOKIES else "assay_session"

# --- Stores and queues -------------------------------------------------------------------------

# sqlite:///absolute/path or postgresql://user:password@host:5432/name; DATABASE_URL_FILE works too.
DATABASES = {
    "default": database_from_url(env_secret("DATABASE_URL") or f"sqlite:///{STATE_DIR}/db.sqlite3")
}
# Seconds for which a PostgreSQL connection is kept between requests.
DATABASES["default"]["CONN_MAX_AGE"] = env_int("DATABASE_CONN_MAX_AGE", 600)
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
# Fail a transaction that locks rows in another order than registry/locks.py says: for tests.
LOCK_ORDER_CHECKED = env_bool("LOCK_ORDER_CHECKED", False)
# Redis for values, markers and epochs: redis://, rediss:// or unix://. Default: the embedded one.
REDIS_URL = env_secret("REDIS_URL") or redis_url(STATE_DIR)
# Redis for Celery's queue, in production its own server: redis://, rediss:// or redis+socket://.
# Default: database 1 beside the values.
BROKER_URL = env_secret("BROKER_URL") or broker_url(REDIS_URL)

# --- Limits ------------------------------------------------------------------------------------

# Rows one push may have: Redis takes them in one step and answers nobody else meanwhile.
PUSH_MAX_ROWS = env_int("PUSH_MAX_ROWS", 5_000, minimum=1)
# Bytes of request body one push may send.
PUSH_MAX_BYTES = env_int("PUSH_MAX_BYTES", 16 * 1024 * 1024, minimum=1)
# Pushes to one table that may wait to be written to the offline store.
PUSH_MAX_WAITING = env_int("PUSH_MAX_WAITING", 1_000_000, minimum=1)
# Megabytes of Redis' memory that they may take, of each table.
PUSH_MAX_WAITING_MB = env_int("PUSH_MAX_WAITING_MB", 256, minimum=1)
# Dead letters that are kept of one partition of a stream; older ones give way, and are counted.
STREAM_MAX_LETTERS = env_int("STREAM_MAX_LETTERS", 10_000, minimum=1)
# Pushed rows of the future that may wait for their time, of each table.
PUSH_MAX_LATER = env_int("PUSH_MAX_LATER", 1_000_000, minimum=1)
# Seconds that a view's transform may take for the rows of one push.
TRANSFORM_SECONDS = env_int("TRANSFORM_SECONDS", 10, minimum=1)
# Versions whose transforms are kept at hand by each process that takes rows, in processes of their
# own: the one that was asked for longest ago ends where there are more.
TRANSFORM_PROCESSES = env_int("TRANSFORM_PROCESSES", 8, minimum=1)
# Megabytes of memory that each of them may use.
TRANSFORM_MEMORY_LIMIT_MB = env_int("TRANSFORM_MEMORY_LIMIT_MB", 256, minimum=64)
# Entity rows one get-online-features call may ask for.
ONLINE_MAX_ENTITY_ROWS = env_int("ONLINE_MAX_ENTITY_ROWS", 10_000, minimum=1)
# Bytes of request body one get-online-features call may send.
ONLINE_MAX_BYTES = env_int("ONLINE_MAX_BYTES", 8 * 1024 * 1024, minimum=1)
# Calls of the API that one token may make in a minute, in each process that answers; 0: any number.
CALLS_PER_MINUTE = env_int("CALLS_PER_MINUTE", 0)
# The same of each token of an account, by its name: churn@rides=6000, ana=60.
CALLS_PER_MINUTE_OF = env_numbers("CALLS_PER_MINUTE_OF")
# From how many bytes on an answer of the API is compressed for callers that take gzip; 0: never.
GZIP_FROM_BYTES = env_int("GZIP_FROM_BYTES", 64 * 1024)
# Entity columns one get-online-features call may send.
ONLINE_MAX_COLUMNS = env_int("ONLINE_MAX_COLUMNS", 100, minimum=1)
# Features one get-online-features call may ask for, view:* and services written out.
ONLINE_MAX_FEATURES = env_int("ONLINE_MAX_FEATURES", 2_000, minimum=1)
# Values (entity rows times features) of one get-online-features answer.
ONLINE_MAX_VALUES = env_int("ONLINE_MAX_VALUES", 1_000_000, minimum=1)
# The same of one get-feature-context answer, in words.
CONTEXT_MAX_VALUES = env_int("CONTEXT_MAX_VALUES", 20_000, minimum=1)
# Megabytes of the file that searches of one table's vectors look through.
SEARCH_INDEX_MAX_MB = env_int("SEARCH_INDEX_MAX_MB", 2048, minimum=1)
# Vectors of one feature from which a search looks at those of the nearest cells, not at all.
SEARCH_CELLS_FROM = env_int("SEARCH_CELLS_FROM", 100_000, minimum=1000)
# Rows of an entity frame a get-historical-features call answers while the caller waits.
HISTORICAL_MAX_ROWS = env_int("HISTORICAL_MAX_ROWS", 1_000_000, minimum=1)
# Columns of an entity frame.
HISTORICAL_MAX_COLUMNS = env_int("HISTORICAL_MAX_COLUMNS", 1_000, minimum=1)
# Features one get-historical-features call may ask for, view:* and services written out.
HISTORICAL_MAX_FEATURES = env_int("HISTORICAL_MAX_FEATURES", 2_000, minimum=1)
# Values (rows times columns and features) of one get-historical-features answer.
HISTORICAL_MAX_VALUES = env_int("HISTORICAL_MAX_VALUES", 50_000_000, minimum=1)
# Bytes an uploaded entity frame may decode to: compression and dictionaries hide how many.
HISTORICAL_MAX_DECODED_BYTES = env_int("HISTORICAL_MAX_DECODED_BYTES", 512 * 1024 * 1024, minimum=1)
# Megabytes of one training set as it is sent: it lies on the disk until the client has read it.
HISTORICAL_MAX_ANSWER_MB = env_int("HISTORICAL_MAX_ANSWER_MB", 4096, minimum=1)
# Bytes of an uploaded entity frame.
HISTORICAL_MAX_BYTES = env_int("HISTORICAL_MAX_BYTES", 256 * 1024 * 1024, minimum=1)
# Bytes of an entity frame in JSON, which takes many times as much memory while it is read.
HISTORICAL_MAX_JSON_BYTES = env_int("HISTORICAL_MAX_JSON_BYTES", 64 * 1024 * 1024, minimum=1)
# Rows of a historical job: it is answered in pieces of HISTORICAL_MAX_ROWS.
HISTORICAL_JOB_MAX_ROWS = env_int("HISTORICAL_JOB_MAX_ROWS", 50_000_000, minimum=1)
# Megabytes of one job's file, and of the files of all.
HISTORICAL_JOB_MAX_MB = env_int("HISTORICAL_JOB_MAX_MB", 16_384, minimum=1)
HISTORICAL_JOBS_MAX_MB = env_int("HISTORICAL_JOBS_MAX_MB", 65_536, minimum=1)
# Hours a job's file is kept once it is made.
HISTORICAL_JOB_HOURS = env_int("HISTORICAL_JOB_HOURS", 24, minimum=1)
# Jobs one person has at a time: waiting, being made, or with a file.
HISTORICAL_JOBS_MAX_OF_ONE = env_int("HISTORICAL_JOBS_MAX_OF_ONE", 10, minimum=1)
# Datasets one project keeps, each with the files that it was read from.
DATASETS_MAX_KEPT = env_int("DATASETS_MAX_KEPT", 1_000, minimum=1)
# Megabytes of their rows.
DATASETS_MAX_MB = env_int("DATASETS_MAX_MB", 50_000, minimum=1)
# Bytes of one definitions upload.
DEFINITIONS_MAX_BYTES = env_int("DEFINITIONS_MAX_BYTES", 4 * 1024 * 1024, minimum=1)
# Objects of one definitions upload: they are registered in one transaction.
DEFINITIONS_MAX_OBJECTS = env_int("DEFINITIONS_MAX_OBJECTS", 1000, minimum=1)
# The largest of the above: views check their own limit, this one stops what no view would take.
DATA_UPLOAD_MAX_MEMORY_SIZE = max(
    ONLINE_MAX_BYTES,
    PUSH_MAX_BYTES,
    HISTORICAL_MAX_BYTES,
    HISTORICAL_MAX_JSON_BYTES,
    DEFINITIONS_MAX_BYTES,
)
# Megabytes of memory one DuckDB question may use before it spills to disk.
ENGINE_MEMORY_LIMIT_MB = env_int("ENGINE_MEMORY_LIMIT_MB", 2048, minimum=64)
# Threads one DuckDB question may use; 0 means as many as the machine has cores.
ENGINE_THREADS = env_int("ENGINE_THREADS", 0)
# Seconds after which one DuckDB question is stopped.
ENGINE_TIME_LIMIT_SECONDS = env_int("ENGINE_TIME_LIMIT_SECONDS", 3600, minimum=1)
# Distributions whose functions views may call (`python:`), by their names; none: no view may.
PYTHON_DISTRIBUTIONS = env_list("PYTHON_DISTRIBUTIONS")
# A folder of their own that holds them (`pip install --target`); empty: beside the server's.
PYTHON_FOLDER = env("PYTHON_FOLDER")
# What the kernel must hold them with, or none is run: landlock (files), seccomp (network,
# processes, signals), namespaces (network). docs/operations.md says what holds where.
PYTHON_CONFINEMENT = env_walls("PYTHON_CONFINEMENT", "landlock,seccomp")
# Megabytes that such a function may use, and seconds it may take for a batch or for its import.
PYTHON_MEMORY_LIMIT_MB = env_int("PYTHON_MEMORY_LIMIT_MB", 1024, minimum=64)
PYTHON_BATCH_SECONDS = env_int("PYTHON_BATCH_SECONDS", 60, minimum=1)
# Megabytes, and seconds, that one reading of another system's rows may take: they lie in a private
# file of the disk that the engine works on while a job reads them.
SOURCE_STAGING_MB = env_int("SOURCE_STAGING_MB", 20_000, minimum=1)
SOURCE_TIME_LIMIT_SECONDS = env_int("SOURCE_TIME_LIMIT_SECONDS", 3600, minimum=1)
# Rows that the ticks of one version may make by the plan's estimate; a plan of more is refused.
TICK_ROWS_LIMIT = env_int("TICK_ROWS_LIMIT", 1_000_000_000, minimum=1)
# Rows of a source that a run computes, checks and commits at once, of views that aggregate a fifth;
# a longer run is cut by time into parts of about as many, which are stored one after the other.
RUN_CHUNK_ROWS = env_int("RUN_CHUNK_ROWS", 10_000_000, minimum=1)
# Percent of the time in which the merge of a run may keep Redis busy, less where readers are many;
# a reload, for whose end readers wait, takes all of it.
ONLINE_WRITE_PERCENT = env_int("ONLINE_WRITE_PERCENT", 50, minimum=1)
# How far the processes that perform runs step back from others on the machine, 0 to 19, as `nice`;
# 20: they run when no other process wants to.
RUN_NICENESS = env_int("RUN_NICENESS", 10)
# Seconds for which a source's file must have rested before it is read: a younger one may still be
# written. 0 reads every file.
SOURCE_SETTLE_SECONDS = env_int("SOURCE_SETTLE_SECONDS", 2)
# Seconds for which a worker holds a run without a heartbeat before the sweep gives it to another.
RUN_LEASE_SECONDS = env_int("RUN_LEASE_SECONDS", 60, minimum=5)
# Days for which a run keeps its features' profiles; then those of a day become one.
PROFILE_RUN_DAYS = env_int("PROFILE_RUN_DAYS", 7, minimum=1)
# Days for which those of days are kept; then those of a month become one.
PROFILE_DAY_DAYS = env_int("PROFILE_DAY_DAYS", 92, minimum=31)
# Days for which runs that ended are kept, alerts that closed, and quarantines that were decided on;
# of each version the last runs stay, and so does the trail.
HISTORY_DAYS = env_int("HISTORY_DAYS", 365, minimum=30)
# Days for which it is kept who read what; 0: it is not even noted.
USAGE_DAYS = env_int("USAGE_DAYS", 90)
# Megabytes of Redis' memory that it may take until it is stored, which is about once in so many
# seconds; values that are sampled a quarter of that more. What is beyond is dropped, and counted.
USAGE_MAX_WAITING_MB = env_int("USAGE_MAX_WAITING_MB", 64, minimum=1)
USAGE_STORED_EVERY_SECONDS = env_int("USAGE_STORED_EVERY_SECONDS", 60, minimum=1)
# Bearer token with which a monitor reads /metrics; without one only superusers do, logged in.
METRICS_TOKEN = env_secret("METRICS_TOKEN")
# Hosts to which alert channels may lead, comma-separated, each alone or as host:port; none: no
# channel can be added or used.
ALERT_HOSTS = env_list("ALERT_HOSTS")
# Server to which OpenLineage events of runs are sent (POST api/v1/lineage); empty: to none. The key
# is sent as a bearer token; the namespace is what this installation is called there.
OPENLINEAGE_URL = env_url("OPENLINEAGE_URL")
OPENLINEAGE_API_KEY = env_secret("OPENLINEAGE_API_KEY")
OPENLINEAGE_NAMESPACE = env("OPENLINEAGE_NAMESPACE") or "assay"
# Percent of Redis's memory, or of the offline store's disk, from which a store is nearly full.
STORE_FULL_PERCENT = env_int("STORE_FULL_PERCENT", 90, minimum=1)
# What the tables of one view may take together before an alert says so, where nobody has set it for
# the view: megabytes on the offline store's disk, keys in Redis, megabytes there. 0: no limit.
VIEW_DISK_MB = env_int("VIEW_DISK_MB", 0)
VIEW_ONLINE_KEYS = env_int("VIEW_ONLINE_KEYS", 0)
VIEW_MEMORY_MB = env_int("VIEW_MEMORY_MB", 0)
# Percent of such a budget from which it is nearly used up.
BUDGET_NEAR_PERCENT = env_int("BUDGET_NEAR_PERCENT", 80, minimum=1)
# Rows a comparison of the stores looks at in a second, so that online reads keep their time.
COMPARE_ROWS_PER_SECOND = env_int("COMPARE_ROWS_PER_SECOND", 50_000, minimum=100)
# Rows of a source, the newest, that the evidence of a submission is computed from, and seconds that
# each of its computations may take.
EVIDENCE_ROWS = env_int("EVIDENCE_ROWS", 1_000_000, minimum=1000)
EVIDENCE_TIME_LIMIT_SECONDS = env_int("EVIDENCE_TIME_LIMIT_SECONDS", 300, minimum=1)
# Seconds that looking at the sources of all definitions that are sent together may take.
LOOKS_MAX_SECONDS = env_int("LOOKS_MAX_SECONDS", 600, minimum=1)
# Seconds that all computations for one submission may take together, its encodings with them.
EVIDENCE_MAX_SECONDS = env_int("EVIDENCE_MAX_SECONDS", 1800, minimum=1)
# What encodings are fitted to stays as long as a submitted version has it: how much of it one
# project may have; a quarter of that what one person has in review.
FITTINGS_MAX_MB = env_int("FITTINGS_MAX_MB", 512, minimum=1)
# Seconds between two comparisons of a table by a sample of so many entities, and between two of all
# its rows. 0: none by itself.
COMPARE_EVERY_SECONDS = env_int("COMPARE_EVERY_SECONDS", 3600)
COMPARE_SAMPLE = env_int("COMPARE_SAMPLE", 1000, minimum=1)
COMPARE_FULL_EVERY_SECONDS = env_int("COMPARE_FULL_EVERY_SECONDS", 0)
# Seconds between two comparisons of a table with its source, of the latest so many days of what is
# stored. 0 seconds: none by itself; 0 days: all there is.
COMPARE_SOURCE_EVERY_SECONDS = env_int("COMPARE_SOURCE_EVERY_SECONDS", 0)
COMPARE_SOURCE_DAYS = env_int("COMPARE_SOURCE_DAYS", 7)
# Hours for which files that left a table stay: readers and downloads may be under way with them.
FILES_KEPT_HOURS = env_int("FILES_KEPT_HOURS", 24, minimum=1)
# Seconds between two sweeps: how late a due schedule may start.
SWEEP_EVERY_SECONDS = env_int("SWEEP_EVERY_SECONDS", 10, minimum=1)
# Threads of a web process that answer online reads, and as many again for the admin and the API.
WEB_THREADS = env_int("WEB_THREADS", 4, minimum=1)
# Unix socket to which a web process hands on what is no online read; empty: it answers all itself.
DESK_SOCKET = env("DESK_SOCKET")
# Whether this process answers what others hand on: it believes what they say of the client.
IS_DESK = env_bool("IS_DESK", False)
# Threads for plans, and as many again for training sets: slow work that others must not wait for.
SLOW_THREADS = env_int("SLOW_THREADS", 2, minimum=1)
# Seconds for which `materialize` waits for its runs if asked; proxies end what takes a minute.
MATERIALIZE_WAIT_SECONDS = env_int("MATERIALIZE_WAIT_SECONDS", 50, minimum=1)
# Plans, and training sets, that may wait for such a thread; more are 503 `busy`.
SLOW_WAITING = env_int("SLOW_WAITING", 8)
# Seconds by which a clock may differ from the database's before it is said to.
CLOCK_SKEW_SECONDS = env_int("CLOCK_SKEW_SECONDS", 2, minimum=1)
# Seconds after which a reader asks the database whether what it knows of rights and versions holds.
# Redis says so at once; this is for when Redis cannot be told, or went back to an older dump.
PLAN_CONFIRM_SECONDS = env_int("PLAN_CONFIRM_SECONDS", 1, minimum=0)
# Log-ins that may fail for one account from one address in FAILED_LOGINS_SECONDS; more are 429.
FAILED_LOGINS = env_int("FAILED_LOGINS", 10, minimum=1)
# The same for all accounts of an address.
FAILED_LOGINS_OF_ADDRESS = env_int("FAILED_LOGINS_OF_ADDRESS", 100, minimum=1)
# Seconds of the period in which they are counted: how long somebody waits at most.
FAILED_LOGINS_SECONDS = env_int("FAILED_LOGINS_SECONDS", 900, minimum=1)
# Calls that one account in one project, or one address without a token, is refused in
# REFUSALS_SECONDS with an entry and an answer of their own; more are 429, and counted in one entry.
REFUSALS = env_int("REFUSALS", 50, minimum=1)
# How many of those have an entry each, of one account in one project; the others of the period are
# one entry with their number. Of an address, and of what an account may not see, the first has one.
REFUSALS_RECORDED = env_int("REFUSALS_RECORDED", 5, minimum=1)
# Seconds of the period in which they are counted.
REFUSALS_SECONDS = env_int("REFUSALS_SECONDS", 600, minimum=1)
# Seconds of the period in which pushed rows are one entry of the trail, for each account and the
# versions they went to.
PUSHES_TOLD_SECONDS = env_int("PUSHES_TOLD_SECONDS", 600, minimum=1)
# Seconds of the period in which online reads of sensitive features are one entry of the trail, for
# each account and what it read.
SENSITIVE_READS_SECONDS = env_int("SENSITIVE_READS_SECONDS", 600, minimum=1)
# The key that hashes the trail's entries, kept apart from the database (AUDIT_KEY_FILE works too);
# empty: SECRET_KEY. Former ones, comma-separated: entries of their time are still ours. It
# wraps the secrets of hashes, too.
AUDIT_KEYS = [env_secret("AUDIT_KEY") or SECRET_KEY, *env_list("AUDIT_KEYS_BEFORE")]
# Places where seals of the trail are published, comma-separated: a file (/mnt/other/seals.jsonl), a
# bucket (s3://bucket/prefix), a webhook (https://…), a git remote (git+ssh://…, git+https://…).
SEAL_CHANNELS = env_list("SEAL_CHANNELS")
# Seconds between two seals, where the trail has grown meanwhile.
SEAL_EVERY_SECONDS = env_int("SEAL_EVERY_SECONDS", 3600, minimum=60)
# The Ed25519 private key in PEM that signs them; SEAL_KEY_FILE names a file that holds it.
# Embedded: made once, in STATE_DIR.
SEAL_KEY = env_secret("SEAL_KEY")
if SEAL_CHANNELS and not SEAL_KEY and not EMBEDDED:
    raise ImproperlyConfigured(
        "SEAL_CHANNELS is set and SEAL_KEY is not: make one with"
        " openssl genpkey -algorithm ed25519, keep it away from the database; set SEAL_KEY_FILE."
    )
# Days for which rows that checks refused are kept while nobody decides what becomes of them.
QUARANTINE_DAYS = env_int("QUARANTINE_DAYS", 30, minimum=1)
# Megabytes that they take together at most; beyond, the oldest are given up.
QUARANTINE_MAX_MB = env_int("QUARANTINE_MAX_MB", 50_000, minimum=1)
# The OpenID provider that people log in with, by its issuer's address; empty: there is none.
OIDC_ISSUER = env_issuer("OIDC_ISSUER")
# What the provider knows us by.
OIDC_CLIENT_ID = env("OIDC_CLIENT_ID")
OIDC_CLIENT_SECRET = env_secret("OIDC_CLIENT_SECRET")
# What is asked of it, and what the button on the log-in page calls it.
OIDC_SCOPES = env("OIDC_SCOPES", "openid profile email")
OIDC_NAME = env("OIDC_NAME", "single sign-on")
# The claim that lists somebody's groups, and the roles these give: group=project:role,
# comma-separated.
OIDC_GROUPS_CLAIM = env("OIDC_GROUPS_CLAIM", "groups")
OIDC_ROLES = env_roles("OIDC_ROLES")
# For whom the provider's tokens are that the API takes, comma-separated.
OIDC_AUDIENCES = env_list("OIDC_AUDIENCES", OIDC_CLIENT_ID)
# Classes and means of authentication, comma-separated, of which a log-in has to have one.
OIDC_REQUIRED_ACR = env_list("OIDC_REQUIRED_ACR")
OIDC_REQUIRED_AMR = env_list("OIDC_REQUIRED_AMR")
if OIDC_ISSUER and not OIDC_CLIENT_ID:
    raise ImproperlyConfigured(
        "OIDC_ISSUER is set and OIDC_CLIENT_ID is not: set what it calls us."
    )
# Whether people log in with a password kept here.
LOCAL_LOGIN = env_bool("LOCAL_LOGIN", True)
if not LOCAL_LOGIN and not OIDC_ISSUER:
    raise ImproperlyConfigured("LOCAL_LOGIN is false and OIDC_ISSUER empty: nobody could log in.")
# Days for which a new API token may live at most.
TOKEN_MAX_DAYS = env_int("TOKEN_MAX_DAYS", 365, minimum=1)
# Days after it is asked for by which a grant to read sensitive values has to end.
READ_GRANT_MAX_DAYS = env_int("READ_GRANT_MAX_DAYS", 365, minimum=1)

# Where people reach this server, as https://assay.example.com; links in messages begin with it.
PUBLIC_URL = env_url("PUBLIC_URL")
# The mail server for notifications; without one no mail is sent to people.
EMAIL_HOST = env("EMAIL_HOST")
EMAIL_PORT = env_int("EMAIL_PORT", 25, minimum=1)
EMAIL_HOST_USER = env("EMAIL_HOST_USER")
EMAIL_HOST_PASSWORD = env_secret("EMAIL_HOST_PASSWORD")
# STARTTLS, or TLS from the first byte.
EMAIL_USE_TLS = env_bool("EMAIL_USE_TLS", False)
EMAIL_USE_SSL = env_bool("EMAIL_USE_SSL", False)
EMAIL_TIMEOUT = 10
# The address that mails come from.
DEFAULT_FROM_EMAIL = env("MAIL_FROM", "assay@localhost")

# The function that looks at a source's files when definitions are planned.
SOURCE_LOOK = "materialization.edges.looks.look_at_sources"
# The one that tries expressions of on-demand views on the engine.
EXPRESSION_TRIAL = "materialization.edges.looks.try_expressions"
# Asks the system behind a connection whether it answers.
CONNECTION_TRY = "materialization.edges.sources.try_connection"
# The one that says, at an approval, which state its files are in.
SOURCE_FILES = "materialization.edges.looks.source_files"

# --- Celery ------------------------------------------------------------------------------------

CELERY_BROKER_URL = BROKER_URL
CELERY_RESULT_BACKEND = (
    None  # a MaterializationRun row is the truth; results in Redis would be a second one
)
CELERY_TASK_IGNORE_RESULT = True
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_SERIALIZER = "json"
CELERY_TIMEZONE = "UTC"
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# Seconds a task may run; the run itself ends earlier, by the engine's limit.
CELERY_TASK_TIME_LIMIT = ENGINE_TIME_LIMIT_SECONDS + 600
CELERY_BROKER_TRANSPORT_OPTIONS = {
    # Longer than any task: a shorter one would deliver a task again while it runs.
    "visibility_timeout": CELERY_TASK_TIME_LIMIT + 600,
}
# A queue for runs, one for reloads (a run's row says which), one for the sweep, so that long runs
# delay neither what readers wait for nor what is due; each has processes of its own.
CELERY_TASK_DEFAULT_QUEUE = "runs"
CELERY_TASK_ROUTES = {
    "materialization.beat.sweep": {"queue": "sweep"},
    # Of the workers that reload: a message takes seconds, runs may take hours.
    "materialization.drain": {"queue": "alerts"},
    "serving.store_usage": {"queue": "alerts"},
    "materialization.deliver_notice": {"queue": "alerts"},
    "materialization.tell_lineage": {"queue": "alerts"},
    "registry.mail_notification": {"queue": "alerts"},
    # Of the workers that run: a comparison of all rows may take long too, and nobody waits for it.
    "materialization.certify": {"queue": "certificates"},
    "materialization.care": {"queue": "certificates"},
    # Of the same workers, but a reviewer does: it does not stand behind comparisons.
    "materialization.assay": {"queue": "evidence"},
    "materialization.expire": {"queue": "certificates"},
    "materialization.index": {"queue": "certificates"},
    # Of the same workers, before them: whoever asked for a dataset waits for it.
    "serving.make_dataset": {"queue": "datasets"},
    "serving.verify_dataset": {"queue": "datasets"},
    "serving.make_historical_job": {"queue": "datasets"},
}
# No message expires: that would compare the clocks of two machines. See requests/turns.py.
CELERY_BEAT_SCHEDULE = {
    "sweep": {"task": "materialization.beat.sweep", "schedule": schedule(SWEEP_EVERY_SECONDS)}
}

# --- Django ------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",
    "unfold.contrib.filters",
    "featurestore_project.admin_config.AssayAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "guardian",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "registry",
    "materialization",
    "serving",
    "featurestore_project",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "featurestore_project.middleware.what_browsers_may",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "featurestore_project.etags.unchanged_answers",
    "featurestore_project.middleware.forms_have_a_length",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "featurestore_project.sessions.log_ins_end",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "featurestore_project.urls"
WSGI_APPLICATION = "featurestore_project.wsgi.application"
APPEND_SLASH = False  # Feast's clients do not follow redirects, and ours has no trailing slashes
LOGIN_REDIRECT_URL = "/admin/"  # who opens the login itself lands on the overview
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        # Before those of apps: what stands here takes the place of the admin theme's own.
        "DIRS": [BASE_DIR / "featurestore_project" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
AUTHENTICATION_BACKENDS = [
    *(["django.contrib.auth.backends.ModelBackend"] if LOCAL_LOGIN else []),
    *(["registry.admin.openid.ProviderBackend"] if OIDC_ISSUER else []),
    "guardian.backends.ObjectPermissionBackend",
]
ANONYMOUS_USER_NAME = None  # guardian: deny by default, so nobody needs an anonymous user's row
GUARDIAN_RAISE_403 = True
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
    )
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
STATIC_URL = "/static/"
WHITENOISE_USE_FINDERS = True  # the admin's files come from the packages: nothing to collect first
WHITENOISE_AUTOREFRESH = DEBUG
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "registry.api.bearer.AnyBearer",
        "registry.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "featurestore_project.problem.exception_handler",
    "URL_FORMAT_OVERRIDE": None,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Assay",
    "DESCRIPTION": "A governed feature store: define, review, approve, materialize, read.",
    "VERSION": "v1",
    "SERVE_INCLUDE_SCHEMA": False,
    # The documentation page's scripts come from us: it works without a way to the internet.
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SERVE_PUBLIC": True,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    "POSTPROCESSING_HOOKS": ["featurestore_project.schema.finished"],
}

# --- Logging -----------------------------------------------------------------------------------

# DEBUG, INFO, WARNING or ERROR; everything goes to standard error.
LOG_LEVEL = env("LOG_LEVEL", "INFO").upper()
# line, for people, or json, one object a line; a server that is not embedded writes json.
LOG_FORMAT = env("LOG_FORMAT") or ("line" if EMBEDDED else "json")
if LOG_FORMAT not in ("line", "json"):
    raise ImproperlyConfigured(f"LOG_FORMAT is {LOG_FORMAT!r}: write line or json.")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": "featurestore_project.logs.TextLine",
            "format": "%(asctime)s %(levelname)s %(name)s %(message)s",
        },
        "json": {"()": "featurestore_project.logs.JsonLine"},
    },
    "filters": {"one_line": {"()": "featurestore_project.logs.OneLine"}},
    "handlers": {
        "nowhere": {"class": "logging.NullHandler"},
        "stderr": {
            "class": "logging.StreamHandler",
            "stream": sys.stderr,
            "formatter": LOG_FORMAT,
            "filters": ["one_line"],
        },
    },
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {
        "django.server": {"level": "WARNING"},
        # Their words have addresses of channels, which are secrets.
        "apprise": {"level": "WARNING", "handlers": ["nowhere"], "propagate": False},
        "urllib3": {"level": "INFO"},
    },
}
