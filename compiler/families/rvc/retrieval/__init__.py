"""The retrieval component: a FAISS index turned into a network of the voice."""
