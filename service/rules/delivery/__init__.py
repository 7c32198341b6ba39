"""When a failed delivery is tried again (`retry`), and when its receiver is left alone or given up (`receiver`)."""
