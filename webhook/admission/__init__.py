"""The request path: from the bytes of one AdmissionReview to the bytes of its response."""
