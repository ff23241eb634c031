"""The origin that the configuration names."""

from client_lib.durable import private_folder
from seeder.config import SeederConfig
from seeder.origins.bucket import BucketOrigin, BucketPlace
from seeder.origins.disk_cache import DiskCache
from seeder.origins.folder import FolderOrigin


def configured_bucket(config: SeederConfig) -> BucketOrigin | None:
    """The bucket, if the origin is one. Blocking. Raises UsageError and StorageError."""
    if config.origin_bucket is None:
        return None
    place = BucketPlace.parse(config.origin_bucket, config.s3_endpoint)
    data = private_folder(config.data_folder)
    return BucketOrigin(place, DiskCache(data / "cache", config.cache_disk_bytes))


def configured_origin(config: SeederConfig) -> BucketOrigin | FolderOrigin:
    """Where a node reads from. Blocking. Raises UsageError and StorageError."""
    return configured_bucket(config) or FolderOrigin(config.origin_folder)
