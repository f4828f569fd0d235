"""The database on disk: the only code that writes or reads its format.

    folder/
        plan.json         what shall be in it: written first
        shards/00000.h5   finished shards, each complete or absent
        manifest.jsonl    one line for each finished shard: name, clips, bytes, sha256, digest of the plan
        rejects.jsonl     what was left out and why, where something was
        database.h5       all of it as one HDF5 file, for other tools; `Database` reads columns from it

Writing goes `write_plan`, then for each shard `write_shard` and `append_manifest`, in any order, and
`write_view` at the end. A shard that is in the manifest is finished; whatever is not is written again, and
`repair` says what that is. Any process may write shards, one at a time may append to the manifest.

Modules
-------
files : Where the files are, and how they are written.
plan : The plan.
manifest : The manifest.
rejects : What was left out.
shard_writing, shard_reading : One shard.
checksums : The shards' bytes against the manifest.
view : The one-file view.
columns, open_shards, reader : A database, opened for reading.
verification : Every damage, by name.
repair : Every damage removed.
"""

from database.store.files import (
    BEGINNINGS,
    begins_as_ours,
    leftovers,
    naming_disk_errors,
    remove_leftovers,
    write_atomically,
)
from database.store.manifest import (
    append_manifest,
    database_digest,
    read_manifest,
    scan_manifest,
    shard_name,
    shard_number,
)
from database.store.plan import plan_digest, read_plan, write_plan
from database.store.reader import Database
from database.store.rejects import Reject, read_rejects, write_rejects
from database.store.repair import repair
from database.store.shard_writing import CUE_UNITS, CUES, FORMAT_VERSION, write_shard
from database.store.verification import verify
from database.store.view import write_view

__all__ = [
    "BEGINNINGS",
    "CUES",
    "CUE_UNITS",
    "FORMAT_VERSION",
    "Database",
    "Reject",
    "append_manifest",
    "begins_as_ours",
    "database_digest",
    "leftovers",
    "naming_disk_errors",
    "plan_digest",
    "read_manifest",
    "read_plan",
    "read_rejects",
    "remove_leftovers",
    "repair",
    "scan_manifest",
    "shard_name",
    "shard_number",
    "verify",
    "write_atomically",
    "write_plan",
    "write_rejects",
    "write_shard",
    "write_view",
]
