"""Worked examples: definitions to apply and the data they read.
For trying Assay out; nothing in the product imports this package."""
