"""The pure core: amounts, limits, the usage index, the decision. No I/O, no clock, no event loop, no logging."""
