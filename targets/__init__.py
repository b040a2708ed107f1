"""Built-in deployment targets. The core reaches them through the registry only, never by import."""
