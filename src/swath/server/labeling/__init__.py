"""Labels that are drawn in the browser, and a map that follows them within seconds."""
