"""What a command found: as a table or JSON, and as a picture on request."""

import sys

from .json_text import json_text
from .pictures import check_picture
from .printable import printable
from .progress import progress_bar
from .tables import check_tables


def show_result(options, inputs, work, show, draw):
    """Shows what work(progress) returns: by show(found), or as JSON with options.json; by draw(found, path) with
    options.out, which must be none of the files `inputs`. What would be missing then is told before the work."""
    if not options.json:
        check_tables()
    out = None if options.out is None else check_picture(options.out, inputs)
    with progress_bar() as progress:
        found = work(progress)
    if out is not None:
        draw(found, out)  # before the text: a reader that goes away, such as head, ends the command there
    if options.json:
        print(json_text(found.as_dict()))
    else:
        show(found)
    if out is not None:
        print(f"picture: {printable(out)}", file=sys.stderr)
