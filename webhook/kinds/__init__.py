"""What a kind of object is: whether it is intercepted, what it costs, who makes it, which cap binds it. Pure."""
