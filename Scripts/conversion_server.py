"""Runs conversions for conversion_support.py, each in a fork of this process, which has imported torch: to start Python and
torch takes twenty times as long as to convert. A fork runs convert_checkpoint.py from its first line, as the command does.

A line of standard input is a JSON list: the folder to run in, then the arguments. A line of standard output answers it: a
JSON list of the exit code, the standard output and the standard error."""
import json
import os
import pathlib
import runpy
import sys
import tempfile
import traceback

import safetensors.torch  # noqa: F401, torch with it: what every conversion would import first

COMMAND = pathlib.Path(__file__).resolve().with_name("convert_checkpoint.py")


def run_command(folder, arguments):
    """Runs the command in this process and returns its exit code, as Python itself would end."""
    try:
        os.chdir(folder)
        sys.argv = [str(COMMAND), *arguments]
        runpy.run_path(str(COMMAND), run_name="__main__")
        return 0
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return end.code or 0
    except BaseException:
        traceback.print_exc()
        return 1


def run_in_fork(folder, arguments):
    """Returns the exit code, the standard output and the standard error of the command."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors, open(os.devnull) as nothing:
        child = os.fork()
        if child == 0:
            for number, file in enumerate((nothing, output, errors)):
                os.dup2(file.fileno(), number)
            code = run_command(folder, arguments)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        _, status = os.waitpid(child, 0)
        output.seek(0)
        errors.seek(0)
        return os.waitstatus_to_exitcode(status), output.read().strip(), errors.read().strip()


def main():
    for line in sys.stdin:
        folder, *arguments = json.loads(line)
        print(json.dumps(run_in_fork(folder, arguments)), flush=True)


main()
