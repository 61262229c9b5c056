"""A standalone Spark cluster on this machine, for the length of one job and some questions.

    spark.py WORK STORE [--job JOB] [--argument ARGUMENT ...] [--then WORD ...] [--ask NAME=FILE ...]

Starts a master and two workers, submits the job with its arguments, runs the command whose words
follow `--then`, registers every table of the store as a view, and prints a JSON object with the rows
that answer each question. All processes that it started are ended.
"""

import argparse
import glob
import json
import os
import socket
import subprocess
import sys
import time

import pyspark

HOME = os.path.dirname(pyspark.__file__)
HOST = "127.0.0.1"
TABLES = ["flows", "ports", "ledger", "sketches", "fingerprints", "victims"]
DAILY = ["flows_daily", "research_daily", "ports_daily", "ledger_daily"]


def free_port():
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return listener.getsockname()[1]


def wait_for(port, child):
    for _ in range(600):
        if child.poll() is not None:
            sys.exit("the master ended at once")
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) == 0:
                return
        time.sleep(0.1)
    sys.exit("the master does not answer")


class Cluster:
    """A master and two workers with a core each."""

    def __init__(self, work):
        self.children = []
        port = free_port()
        self.url = f"spark://{HOST}:{port}"
        self.environment = dict(
            os.environ,
            SPARK_HOME=HOME,
            SPARK_LOCAL_IP=HOST,
            SPARK_NO_DAEMONIZE="1",
            SPARK_WORKER_DIR=os.path.join(work, "workers"),
            PYSPARK_PYTHON=sys.executable,
        )
        self.log = open(os.path.join(work, "cluster.log"), "w")
        master = self.start(
            "org.apache.spark.deploy.master.Master",
            "--host", HOST, "--port", str(port), "--webui-port", "0",
        )
        wait_for(port, master)
        for _ in range(2):
            self.start(
                "org.apache.spark.deploy.worker.Worker",
                "--host", HOST, "--cores", "1", "--memory", "1g", "--webui-port", "0", self.url,
            )

    def start(self, *command):
        child = subprocess.Popen(
            [os.path.join(HOME, "bin", "spark-class"), *command],
            env=self.environment, stdout=self.log, stderr=self.log,
        )
        self.children.append(child)
        return child

    def settings(self):
        return {
            "spark.driver.host": HOST,
            "spark.driver.bindAddress": HOST,
            "spark.ui.enabled": "false",
            "spark.sql.shuffle.partitions": "4",
            "spark.executor.memory": "700m",
            "spark.sql.session.timeZone": "UTC",
        }

    def submit(self, job, arguments):
        command = [os.path.join(HOME, "bin", "spark-submit"), "--master", self.url]
        for name, value in self.settings().items():
            command += ["--conf", f"{name}={value}"]
        ended = subprocess.run(
            [*command, job, *arguments],
            env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            timeout=1000,
        )
        if ended.returncode != 0:
            sys.exit(f"the job failed:\n{ended.stdout}\n{ended.stderr[-6000:]}")
        return ended.stdout

    def stop(self):
        for child in reversed(self.children):
            child.terminate()
        for child in self.children:
            try:
                child.wait(20)
            except subprocess.TimeoutExpired:
                child.kill()
        self.log.close()


def plain(value):
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value


def ask(cluster, store, questions):
    from pyspark.sql import SparkSession

    os.environ.update(cluster.environment)
    builder = SparkSession.builder.master(cluster.url).appName("questions")
    for name, value in cluster.settings().items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    answers = {}
    try:
        for table in TABLES + DAILY:
            if glob.glob(f"{store}/{table}/**/*.parquet", recursive=True):
                frame = spark.read.option("mergeSchema", "true").parquet(f"{store}/{table}")
                frame.createOrReplaceTempView(table)
        for name, file in questions:
            with open(file) as text:
                frame = spark.sql(text.read())
            rows = frame.collect()
            answers[name] = [{key: plain(row[key]) for key in frame.columns} for row in rows]
    finally:
        spark.stop()
    return answers


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("work")
    parser.add_argument("store")
    parser.add_argument("--job")
    parser.add_argument("--argument", action="append", default=[])
    parser.add_argument("--then", action="append", default=[])
    parser.add_argument("--ask", action="append", default=[])
    args = parser.parse_args()
    cluster = Cluster(args.work)
    try:
        printed = cluster.submit(args.job, args.argument) if args.job else ""
        if args.then:
            subprocess.run(args.then, check=True)
        questions = [pair.split("=", 1) for pair in args.ask]
        answers = ask(cluster, args.store, questions) if questions else {}
    finally:
        cluster.stop()
    print(json.dumps({"job": printed, "answers": answers}))


if __name__ == "__main__":
    main()
