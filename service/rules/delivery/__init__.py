"""When a delivery is tried again, and when its receiver is given up."""
