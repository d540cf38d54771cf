"""The stored results of the client matrix, and the table that is printed from them."""

EXERCISES = ["acks_0", "acks_1", "acks_all", "idempotent", "txn_commit", "txn_abort",
             "codec_none", "codec_gzip", "codec_snappy", "codec_lz4", "codec_zstd", "size_1b", "size_20mib",
             "group_classic", "group_consumer", "group_share", "admin", "streams_eos"]
