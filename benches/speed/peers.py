"""What the others run, each in a process of its own.

    peers.py land   duckdb|polars|chdb|datafusion PATTERN OUT CORES
    peers.py answer duckdb|polars|chdb|datafusion JOB CORES        (a JSON file with tables, a view and a query)
"""

import json, sys
import time as clock

DAY = "event_date"
TABLES = ["transactions", "user_events"]


def land_duckdb(pattern, out, cores):
    import duckdb

    connection = duckdb.connect(config={"threads": cores})
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"""COPY (SELECT *, CAST(occurred_at AS DATE) AS {DAY} FROM read_json('{pattern}', format = 'newline_delimited'))
        TO '{out}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, PARTITION_BY (event_type, {DAY}))""")


def land_polars(pattern, out, cores):
    import polars

    frame = polars.scan_ndjson(pattern, infer_schema_length=100_000)
    frame = frame.with_columns(polars.col("occurred_at").str.to_datetime(time_zone="UTC"))
    frame = frame.with_columns(polars.col("occurred_at").dt.date().alias(DAY))
    frame.collect(engine="streaming").write_parquet(out, partition_by=["event_type", DAY], compression="zstd", compression_level=1)


def land_chdb(pattern, out, cores):
    import os

    import chdb

    os.makedirs(out)
    chdb.query(f"""INSERT INTO FUNCTION file('{out}/{{_partition_id}}.parquet', 'Parquet') PARTITION BY concat(event_type, '-', substring(assumeNotNull(occurred_at), 1, 10))
        SELECT * FROM file('{pattern}', 'JSONEachRow')
        SETTINGS max_threads = {cores}, output_format_parquet_compression_method = 'zstd', output_format_compression_level = 1, input_format_max_rows_to_read_for_schema_inference = 100000,
        input_format_try_infer_datetimes = 0, input_format_try_infer_dates = 0, max_partitions_per_insert_block = 10000""")


def land_datafusion(pattern, out, cores):
    import datafusion

    context = datafusion.SessionContext(datafusion.SessionConfig().with_target_partitions(cores))
    folder, zipped = pattern.rsplit("/", 1)[0], pattern.endswith(".gz")
    context.register_json("events", f"{folder}/" if zipped else pattern, schema_infer_max_records=100_000,
                          file_extension=".ndjson.gz" if zipped else ".ndjson", file_compression_type="gzip" if zipped else None)
    context.sql(f"""COPY (SELECT *, CAST(CAST(occurred_at AS TIMESTAMP) AS DATE) AS {DAY} FROM events)
        TO '{out}/' STORED AS PARQUET PARTITIONED BY (event_type, {DAY}) OPTIONS ('format.compression' 'zstd(1)')""").collect()


def answer_duckdb(folder, sql, cores):
    import duckdb

    began = clock.monotonic()
    connection = duckdb.connect(config={"threads": cores})
    connection.execute("SET TimeZone = 'UTC'")
    for table in TABLES:
        connection.execute(f"CREATE VIEW {table} AS SELECT * FROM read_parquet('{folder}/{table}/**/*.parquet', hive_partitioning = true, union_by_name = true)")
    return began, connection.execute(sql).fetchall()


def answer_polars(folder, sql, cores):
    import polars

    began = clock.monotonic()
    frames = {table: polars.scan_parquet(f"{folder}/{table}/**/*.parquet", hive_partitioning=True, missing_columns="insert") for table in TABLES}
    return began, polars.SQLContext(frames).execute(sql).collect(engine="streaming").rows()


def answer_chdb(folder, sql, cores):
    from chdb import session

    began = clock.monotonic()
    connection = session.Session()
    for table in TABLES:
        connection.query(f"CREATE VIEW {table} AS SELECT * FROM file('{folder}/{table}/**/*.parquet', 'Parquet') SETTINGS use_hive_partitioning = 1, max_threads = {cores}")
    answer = str(connection.query(f"{sql} SETTINGS session_timezone = 'UTC', max_threads = {cores}, join_use_nulls = 1", "JSONCompactEachRow"))
    return began, [json.loads(line) for line in answer.splitlines()]


def answer_datafusion(folder, sql, cores):
    import datafusion

    began = clock.monotonic()
    # The files have the columns of their partition too, and it does not take both.
    context = datafusion.SessionContext(datafusion.SessionConfig().with_target_partitions(cores))
    for table in TABLES:
        context.register_parquet(table, f"{folder}/{table}/")
    batches = context.sql(sql).collect()
    return began, [row for batch in batches for row in zip(*(column.to_pylist() for column in batch.columns))]


def main():
    what, peer = sys.argv[1:3]
    if what == "land":
        pattern, out, cores = sys.argv[3:6]
        globals()[f"land_{peer}"](pattern, out, int(cores))
    else:
        job, cores = json.load(open(sys.argv[3])), int(sys.argv[4])
        began, rows = globals()[f"answer_{peer}"](job["folder"], job["sql"], cores)
        json.dump({"seconds": clock.monotonic() - began, "rows": [list(row) for row in rows]}, sys.stdout, default=str)


if __name__ == "__main__":
    main()
