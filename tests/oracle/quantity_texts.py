"""
Texts and the quantities that Kubernetes 1.37.2 reads in them: tests compare our parser and Kubernetes with them.

The error texts are ours: Kubernetes only quotes its grammar.
"""

_READ = {
    "plain numbers": """
        0=0 -0=0 +0=0 00=0 0001=1 +1=1 -1=-1 1.=1 .5=500m -.5=-500m 1.5=1500m 0.1=100m 0.10=100m 3.000=3
    """,
    "no digits at all: zero where the API server reads quickly": """
        .=0 +=0 -=0 k=0 .n=0 Ki=0 Ti=0 e-9=0 e5=0
    """,
    "small ones: a billionth is the finest, away from zero": """
        0.001=1m 0.0001=100u 0.0000000001=1n -0.0000000001=-1n 0.5n=1n 1.5n=2n 1000n=1u 0.1m=100u 1000m=1
        1500m=1500m 1.0000000001=1000000001n 1.9999999999=2 -1.5n=-2n
    """,
    "decimal suffixes": """
        1k=1k 1000=1k 1024=1024 1000k=1M 129M=129M 1T=1T 1P=1P 1E=1E 9E=9E 10E=10E
        100000000000000000000m=100P 9223372036854775807=9223372036854775807
        9223372036854775808=9223372036854775808 9007199254740993=9007199254740993
        9223372036854775807k=9223372036854775807k
    """,
    "binary suffixes: fractions and all below 1024 fall back to decimal, and 2^63-1 is the most": """
        1Ki=1Ki 1024Ki=1Mi 1000Mi=1000Mi 1.5Gi=1536Mi 0.5Mi=512Ki 0.5Ki=512 0.1Ki=102400m 1.1Ki=1126400m
        0.0001Ki=102400u 0.3Gi=322122547200m 0Gi=0 0.0001n=1n 0.00000000000001Ki=1n -1Ki=-1Ki
        -1023Ki=-1023Ki -0.5Ki=-512 7Ei=7Ei 8Ei=9223372036854775807 100Ei=9223372036854775807
        -8Ei=-9223372036854775807 1Mi=1Mi 1Gi=1Gi 1Ti=1Ti 1Pi=1Pi 1Ei=1Ei 0.9765625Ki=1k .5Pi=512Ti
    """,
    "exponents, which wrap at 32 bits": """
        1e3=1e3 1E3=1e3 1e+3=1e3 2.5e3=2500 1e-3=1e-3 5e-1=500e-3 1e-10=1e-9 1e19=10e18 1e100=10e99
        1E400=10e399 0e5=0 12345e-3=12345e-3 1e2=100 1e4294967296=1 1e4294967299=1e3 1e-4294967293=1e3
        1e-2147483648=1e-9 1e-600=1e-9
        0e999=0 0e-999=0 .5e-10=1e-9
    """,
}

CANONICAL = dict(pair.split("=") for pairs in _READ.values() for pair in pairs.split())
"""Text and canonical form."""

SUMS = [
    ("1", "1Gi", "1073741825"),
    ("1Gi", "1", "1073741825"),
    ("1Gi", "1k", "1073742824"),
    ("1Gi", "1024", "1048577Ki"),
    ("1024", "1Gi", "1073742848"),
    ("0", "1Gi", "1Gi"),
    ("0Ki", "1e3", "1e3"),
    ("500m", "0.5", "1"),
    ("1e3", "1k", "2e3"),
    ("8Ei", "8Ei", "18446744073709551614"),
    ("1Gi", "100m", "1073741824100m"),
    ("0.00048828125Ki", "1023.5", "1024"),
    ("-0.00048828125Ki", "1024.5", "1024"),
    ("1.5Ki", "-512", "1Ki"),
]
"""Two texts and the canonical form of their sum."""

_NO_NUMBERS = """
    1Kib 1b 1i 1MM 1kk 1mm 1e 1ei 1Ei1 1e1.5 1e3k 1.2.3 1,5 1_000 0x10 --1 +-1 NaN Inf null true 1e+ 1e3e3 1m5 e
"""

REFUSED = {
    "": "it is empty",
    " ": "it has spaces around it",
    " 1": "it has spaces around it",
    "1 ": "it has spaces around it",
    "1\n": "it has spaces around it",
    "\u00a01": "it has spaces around it",
    "1K": "unknown suffix 'K', did you mean k or Ki?",
    "1ki": "unknown suffix 'ki', did you mean Ki?",
    "1mi": "unknown suffix 'mi', did you mean Mi?",
    "1.5gi": "unknown suffix 'gi', did you mean Gi?",
    "1KB": "unknown suffix 'KB', did you mean k?",
    "1MB": "unknown suffix 'MB', did you mean M?",
    "1Mb": "unknown suffix 'Mb', did you mean M?",
    "-1GB": "unknown suffix 'GB', did you mean G?",
    "8g": "unknown suffix 'g', did you mean G?",
    "\uff11": "only ASCII digits and suffixes are allowed",
    "1\u00b5": "only ASCII digits and suffixes are allowed",
    "Pi": "it has no digits",
    "-Ei": "it has no digits",
    ".e-10": "it has no digits",
    "1e9223372036854775808": "its exponent is out of range",
    "1e-9223372036854775809": "its exponent is out of range",
    **dict.fromkeys(_NO_NUMBERS.split(), "expected a number with a suffix such as m, k, M, G, Ki, Mi, Gi or e3"),
    "1 000": "expected a number with a suffix such as m, k, M, G, Ki, Mi, Gi or e3",
}
"""Text and error."""

TOO_LARGE = {"1e401": "its exponent is above 400", "1e2147483647": "its exponent is above 400"}
"""Text and error of what Kubernetes accepts, and computes with for as long as that takes."""
