"""The database on disk: the only code that writes or reads its format.

    folder/
        plan.json         what shall be in it: written first
        shards/00000.h5   finished shards, each complete or absent
        manifest.jsonl    one line for each finished shard: name, clips, bytes, sha256
        database.h5       all of it as one HDF5 file, for other HDF5 tools; `Database` never opens it

Writing goes `write_plan`, then for each shard `write_shard` and `append_manifest`, in any order, and
`write_view` at the end. A shard that is in the manifest is finished; whatever is not is written again. Any
process may write shards, one at a time may append to the manifest.

Modules
-------
files : Where the files are, and how they are written.
plan : The plan.
manifest : The manifest.
shard_writing, shard_reading : One shard.
view : The one-file view.
reader : A database, opened for reading.
verification : Every damage, by name.
"""

from database.store.files import remove_leftovers, write_atomically
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
from database.store.shard_writing import CUE_UNITS, CUES, FORMAT_VERSION, write_shard
from database.store.verification import verify
from database.store.view import write_view

__all__ = [
    "CUES",
    "CUE_UNITS",
    "FORMAT_VERSION",
    "Database",
    "append_manifest",
    "database_digest",
    "plan_digest",
    "read_manifest",
    "read_plan",
    "remove_leftovers",
    "scan_manifest",
    "shard_name",
    "shard_number",
    "verify",
    "write_atomically",
    "write_plan",
    "write_shard",
    "write_view",
]
