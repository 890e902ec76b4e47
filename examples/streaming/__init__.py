"""The streaming service: who watched what, and what a recommender wants to know.
Data generator and definitions only; the product is driven from outside."""
