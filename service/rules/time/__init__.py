"""`availability`: hours in a zone. `intervals`, `cells`: time as pairs and as bits. `periods`: published days."""
