"""A replacement for curl on a machine without it: `-sS -H NAME:VALUE -X METHOD -d BODY URL`, as the stories of the documents use it."""

import sys
import urllib.error
import urllib.request


def main(arguments: list[str]) -> None:
    headers: dict[str, str] = {}
    method, body, url = None, None, ""
    rest = iter(arguments)
    for argument in rest:
        match argument:
            case "-sS":
                pass
            case "-H":
                name, _, value = next(rest).partition(":")
                headers[name] = value.strip()
            case "-X":
                method = next(rest)
            case "-d":
                body = next(rest).encode()
            case _:
                url = argument
    request = urllib.request.Request(url, body, headers, method=method)  # noqa: S310  loopback, from a story
    try:
        answer = urllib.request.urlopen(request)  # noqa: S310  the same
    except urllib.error.HTTPError as refused:
        answer = refused
    sys.stdout.buffer.write(answer.read())


main(sys.argv[1:])
