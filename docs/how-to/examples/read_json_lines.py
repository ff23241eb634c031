import json
import subprocess
import sys

command = ["albumswarm", "get", "--all", "--json", *sys.argv[1:]]
with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        match event["event"]:
            case "progress":
                print(event["name"], event["verified_bytes"], "of", event["total_bytes"])
            case "finished":
                print(event["name"], "is in", event["folder"])
            case "summary":
                print(len(event["done"]), "done,", len(event["failed"]), "failed")
sys.exit(process.returncode)
