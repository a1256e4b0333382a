"""What binutils say about a libv05.so, of this machine or another: what it gives and takes, and how it is loaded."""

import re

from tools import run

# All that the library may ask of the C library. Not here, so that nothing of the kind slips in: the environment,
# files, signals, threads, random numbers, the clock, exits.
MEMORY = {"malloc", "calloc", "realloc", "free", "memcpy", "memmove", "memset", "memcmp", "strlen"}
ARITHMETIC = {
    "sqrt",
    "trunc",
    "floor",
    "ceil",
    "round",
    "rint",
    "fma",
    "fmod",
    "log",
    "log1p",
    "exp",
    "expm1",
    "pow",
    "lgamma_r",
}
NUMBERS_IN_MESSAGES = {"gcvt", "strtod"}
COMPILER = {"__stack_chk_fail", "__stack_chk_guard"}  # the second on aarch64 alone
ALLOWED_IMPORTS = MEMORY | ARITHMETIC | NUMBERS_IN_MESSAGES | COMPILER


class SharedObject:
    def __init__(self, path):
        self.path = path
        self.content = path.read_bytes()
        self._dynamic = run("readelf", "-dW", path)
        self._segments = run("readelf", "-lW", path)

    def symbols(self, kind):
        """(name, version) of the symbols that the library has "defined" or leaves "undefined", weak ones left aside."""
        lines = run("nm", "-D", f"--{kind}-only", self.path).splitlines()
        symbols = [re.fullmatch(r"\s*[0-9a-f]*\s+(\S) ([^@]+)(?:@+(\S+))?", line).groups() for line in lines]
        return {(name, version) for letter, name, version in symbols if letter not in "wv"}

    def exports(self):
        return {name for name, _ in self.symbols("defined")}

    def imports(self):
        return {name for name, _ in self.symbols("undefined")}

    def dynamic(self, tag):
        """Names in brackets of the dynamic section, such as the libraries that are NEEDED."""
        return re.findall(rf"\({tag}\).*?\[(.*?)\]", self._dynamic)

    def assert_hardened(self):
        """Nothing that is executed or steers calls can be written, and functions that hand out addresses of their own
        variables notice when more than those was written."""
        segments = re.findall(r"^ +(LOAD|GNU_STACK) .* ([R ][W ][E ]) ", self._segments, re.MULTILINE)
        assert dict(segments)["GNU_STACK"] == "RW "
        assert all("WE" not in flags for _, flags in segments)
        assert "TEXTREL" not in self._dynamic
        # Full RELRO: all symbols are resolved at load time, then the tables of their addresses are made read-only.
        assert "NOW" in re.search(r"\(FLAGS\) +(.*)", self._dynamic)[1]
        assert "GNU_RELRO" in self._segments
        protected = re.findall(r"^ +\d+ +(.*\.dynamic.*\.got.*)$", self._segments, re.MULTILINE)[-1].split()
        writable = re.findall(r"\] (\.\S+) .* WA? ", run("readelf", "-SW", self.path))
        assert {".got", ".got.plt", ".init_array", ".fini_array", ".dynamic"} & set(writable) <= set(protected)
        assert "__stack_chk_fail" in self.imports()

    def page_sizes(self):
        """Largest page on which each segment can be loaded; largest on which all tables are read-only afterwards."""
        aligned = [int(size, 16) for size in re.findall(r"^ +LOAD .* (0x[0-9a-f]+)$", self._segments, re.MULTILINE)]
        start, size = re.search(r"GNU_RELRO +\S+ (0x[0-9a-f]+) \S+ \S+ (0x[0-9a-f]+)", self._segments).groups()
        end = int(start, 16) + int(size, 16)
        return min(aligned), end & -end
