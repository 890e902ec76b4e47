"""A server of the Model Context Protocol: agents find, describe, read and propose.
Not a way around anything: each call goes to the Assay server with the caller's own token.
"""
