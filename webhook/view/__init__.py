"""
What people may see: their limits and what is used of them, and for administrators those of everybody.

Pure: rows are made from the policy, the usage index, the labels of namespaces and the time. `serving.view_server`
decides who may see which.
"""
