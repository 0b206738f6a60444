"""The shop front: pages for people, made from what the public interface answers."""
