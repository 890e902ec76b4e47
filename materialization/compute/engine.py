"""What an engine promises, and the engines there are. Values in, Arrow or Parquet out.

Not for how one keeps it: each of ``ENGINES`` has a module of its own. No models, no settings and no
SQL in here, so that another engine can promise the same; ``tests/contracts/test_engine.py`` runs on
each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from materialization.compute.bringing import brings_nothing
from materialization.compute.duckdb_engine import DuckDBEngine
from materialization.compute.fitted import none_fitted
from materialization.compute.mask_keys import no_keys
from materialization.compute.read_files import no_files
from materialization.finding.fetching import no_fetch

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime, timedelta

    import pyarrow as pa

    from materialization.compute.bringing import Bring
    from materialization.compute.child import Watch
    from materialization.compute.fitted import Fitted
    from materialization.compute.jobs import ComputeJob, FitJob, ListJob, SplitJob, SurveyJob
    from materialization.compute.limits import EngineIdentity, EngineLimits
    from materialization.compute.look import Look
    from materialization.compute.mask_keys import MaskKeys
    from materialization.compute.questions import (
        EntitiesQuestion,
        Evaluated,
        Expression,
        JoinAnswer,
        JoinQuestion,
        Trial,
    )
    from materialization.compute.read_files import ReadFiles
    from materialization.compute.reports import Computed, Events, Fit, ListedRow, Split, Survey
    from materialization.finding.fetching import Fetch
    from materialization.quality.profiles import Profile
    from materialization.sources.inputs import SourceInput
    from registry.spec.model import FeatureSpec
    from registry.spec.version_spec import VersionSpec


class Engine(Protocol):
    """Computes from sources, and answers from stored rows, within the limits it was made with.

    :raises EngineLimitExceeded: any method: time, memory or disk; ``limit`` says which.
    """

    @property
    def identity(self) -> EngineIdentity:
        """Say which engine it is."""
        ...

    def compute(self, job: ComputeJob, *, watch: Watch) -> Computed:
        """Write a job's rows into its staging folder: Parquet of ``columns.stored_schema``.

        Memory is bounded, whatever the window holds. ``watch`` is told at least every second how
        much is done, 0 to 1; what it raises ends the work. After an error the folder is worthless.

        :raises UnknownColumn, SourceValueInvalid, SourceUnreadable, RowSqlRefused: source or SQL.
        :raises EngineStopped: the work ended without a word; the same job may succeed later.
        """

    def survey(self, job: SurveyJob, *, watch: Watch) -> Survey:
        """Say into which parts a window is best cut; one part where it is small enough.

        ``watch`` is as for ``compute``, which raises the same.
        """

    def fit(self, job: FitJob, *, watch: Watch) -> Fit:
        """Find out what encodings are fitted to, on the rows of their ranges.

        ``watch`` is as for ``compute``, which raises the same.

        :raises FitFailed: a range has no value, or one that nothing can be fitted to.
        """

    def query(
        self, spec: VersionSpec, source: SourceInput, *, most_rows: int, most_bytes: int
    ) -> pa.Table:
        """Return what a version's own SQL gives of its source: all columns, so many rows.

        Nothing of it is stored. More than ``most_bytes`` are a limit exceeded.

        :raises UnknownColumn, SourceValueInvalid, SourceUnreadable, RowSqlRefused: source or SQL.
        :raises EngineStopped: as ``compute``.
        """
        ...

    def split(self, job: SplitJob, *, watch: Watch) -> Split:
        """Write the rows of several windows apart, in one reading, where that pays.

        ``watch`` is as for ``compute``, which raises the same, and what becomes of the folder.
        """

    def look(
        self,
        specs: Sequence[VersionSpec],
        source: SourceInput,
        *,
        unseen: Collection[int] = (),
        at: datetime | None = None,
    ) -> list[Look]:
        """Read a source as each version would, and say what its definition gets wrong about it.

        For the versions at the places ``unseen`` no row is read: columns and types only. Rows of
        times after ``at`` are told.

        SQL or files that end a look are problems of that version; the others are looked at.

        :raises EngineStopped: as ``compute``.
        """

    def list_failing(self, job: ListJob) -> list[ListedRow]:
        """Return a page of the rows that fail checks; it is bounded by the job and our limits.

        :raises CheckUnusable, SourceUnreadable: a condition, or a file, that cannot be read.
        :raises EngineStopped: as ``compute``.
        """

    def renumber(
        self,
        files: Sequence[str],
        spec: VersionSpec,
        *,
        sequence: int,
        staging: str,
        stored: Sequence[str] = (),
        since: int = 0,
    ) -> tuple[tuple[str, ...], Profile]:
        """Write the rows of the files once more into a staging folder, all with ``sequence``.

        Returns the files, and the profile of their rows. Rows that the ``stored`` files have with
        a sequence after ``since`` are left out.

        :raises OfflineStoreUnavailable: a file is not there or not readable.
        """

    def renumber_events(
        self,
        files: Sequence[str],
        spec: VersionSpec,
        *,
        sequence: int,
        staging: str,
        stored: Sequence[str],
        since: int,
    ) -> Events:
        """Do the same of what was set aside beside the rows.

        An event of which any is stored after ``since`` is left out: whoever stored it knew more.

        :raises OfflineStoreUnavailable: a file is not there or not readable.
        """
        ...

    def latest_rows(
        self,
        files: Sequence[str],
        spec: VersionSpec,
        *,
        as_of: datetime | None = None,
        sequence: int | None = None,
        up_to: int | None = None,
        among: pa.Table | None = None,
    ) -> AbstractContextManager[pa.RecordBatchReader]:
        """Give the greatest stored row of each key by (event, created, sequence).

        Input:  Parquet files of one snapshot. With ``as_of`` only rows visible then count, with
                ``sequence`` only those of it, with ``up_to`` those of it and earlier ones.
                ``among`` has the join keys of entities: no others are looked for.
        Output: batches of ``columns.stored_schema``, in no order; memory bounded.
        :raises OfflineStoreUnavailable: a stored file is not there or not readable.
        """

    def kept_events(
        self,
        files: Sequence[str],
        spec: VersionSpec,
        *,
        as_of: datetime,
        sequence: int | None = None,
        among: pa.Table | None = None,
    ) -> AbstractContextManager[pa.RecordBatchReader]:
        """Give the stored events that windows reach at ``as_of`` or later.

        Those that runs stored are given with how often each is there, which may be never; with
        ``sequence`` only those of which that run has changed anything. ``among`` has
        the join keys of entities: no others are looked for.

        Input:  Parquet files of one snapshot, those of events.
        Output: batches of the events' own columns, in no order; of keys whose events are all older,
                one event that says that they were there; memory bounded.
        :raises OfflineStoreUnavailable: a stored file is not there or not readable.
        """
        ...

    def crowded_entities(
        self,
        files: Sequence[str],
        spec: VersionSpec,
        *,
        hop: timedelta,
        since: datetime,
        most: int,
        sequence: int | None = None,
    ) -> pa.Table:
        """Return the join keys of entities of which a hop may take more than ``most`` bytes online.

        Of no others it does. Only events from ``since`` on count, and with ``sequence`` only hops
        to which that run has added something.

        :raises OfflineStoreUnavailable: a stored file is not there or not readable.
        """
        ...

    def later_rows(
        self, files: Sequence[str], spec: VersionSpec, *, after: datetime
    ) -> AbstractContextManager[pa.RecordBatchReader]:
        """Give the stored rows that are not visible at ``after``; as ``latest_rows``.

        Input: Parquet files of one snapshot, one at least.
        """
        ...

    def some_entities(self, files: Sequence[str], spec: VersionSpec, count: int | None) -> pa.Table:
        """Return the join keys of up to ``count`` entities, each as likely as any other; None: all.

        However many they are, they lie in a file and take no memory but what is looked at.

        :raises EngineLimitExceeded: there is no room for them on disk.
        :raises OfflineStoreUnavailable: a stored file is not there or not readable.
        """

    def some_rows(self, files: Sequence[str], spec: VersionSpec, count: int) -> pa.Table:
        """Return up to ``count`` rows, of ``columns.stored_schema``, each as likely as any other.

        :raises OfflineStoreUnavailable: a stored file is not there or not readable.
        """

    def same_stamps(self, files: Sequence[str], spec: VersionSpec, rows: pa.Table) -> pa.Table:
        """Return the stored rows that share join keys, times and sequence with one of ``rows``.

        :raises OfflineStoreUnavailable: a stored file is not there or not readable.
        """

    def profile(self, files: Sequence[str], features: Sequence[FeatureSpec]) -> Profile:
        """Return the profile of the rows of Parquet files, by columns named like the features.

        :raises OfflineStoreUnavailable: a file is not there or not readable.
        """

    def has_ties(self, files: Sequence[str], spec: VersionSpec) -> bool:
        """Return whether two rows of one run share keys and times, so that their place decides.

        Not so of rows that are equal in all their values: it does not matter which of them counts.
        """
        ...

    def entity_rows(self, question: EntitiesQuestion) -> pa.Table:
        """Return the entities that stored rows tell of, and when: a frame to be joined to.

        Each row is one entity and instant for which a point-in-time join finds something in one of
        the views, once, ordered by ``event_timestamp``, then by the keys.

        :raises OfflineStoreUnavailable: a stored file is not there or not readable.
        """

    def evaluate(self, rows: pa.Table, expressions: Sequence[Expression]) -> list[Evaluated]:
        """Compute each expression for each of ``rows``, in their order."""
        ...

    def refused(self, trials: Sequence[Trial]) -> list[str | None]:
        """Return what this engine says against each expression; None: it computes it."""
        ...

    def point_in_time_joins(self, questions: Sequence[JoinQuestion]) -> list[JoinAnswer]:
        """Answer each question: of each entity row's stored rows the latest known at its time.

        A row qualifies if ``entity - ttl <= event_timestamp <= entity`` (both inclusive; no ttl: no
        lower bound) and, with known timing, ``created_timestamp <= entity``. Of several the
        greatest by (event, created, sequence) is taken. Each entity row has one row in the answer,
        in the same order; nulls where nothing qualifies.

        A question with ``events`` is answered by its aggregation's windows ``(entity - w, entity]``
        over the events that were visible by then, each as often as it is there.

        :raises OfflineStoreUnavailable: a stored file is not there or not readable.
        """


class MadeEngine(Protocol):
    def __call__(
        self,
        limits: EngineLimits,
        mask_keys: MaskKeys = no_keys,
        fitted: Fitted = none_fitted,
        fetch: Fetch = no_fetch,
        read_files: ReadFiles = no_files,
        bring: Bring = brings_nothing,
    ) -> Engine:
        """Make an engine of its limits, which finds the keys of hashes by ``mask_keys``.

        What encodings were fitted to it finds by ``fitted``; rows of other systems it has fetched
        by ``fetch``, stored rows of other views it finds by ``read_files``, and has stored files
        brought here by ``bring`` before it reads them.
        """
        ...


#: Each engine by name.
ENGINES: dict[str, MadeEngine] = {"duckdb": DuckDBEngine}
