"""Shadow: what workers send to the process of a candidate version, and what that counts, in shared memory."""
