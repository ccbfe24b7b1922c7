"""What is wrong with a cluster or an installation, judged by what was read of both; `wiring/doctor.py` reads."""
