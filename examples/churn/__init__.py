"""A language school: who is about to leave, told by a model that reads its features from Assay.
Data, definitions, training and the service; the product is driven from outside."""
