"""
A long run in a reduced form: three replicas, two API servers, people who come and go, and a fault now and then.

One replica is never ended. Its memory, files and threads have to stay flat, however many names there were.
"""
