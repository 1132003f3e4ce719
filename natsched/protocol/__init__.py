"""What replicas and clients do alike over the ports: hinting, writing with an unknown outcome, the once lock."""
