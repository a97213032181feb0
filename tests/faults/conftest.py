from tests.ray.conftest import isolated_home, ray_local

__all__ = ["isolated_home", "ray_local"]
