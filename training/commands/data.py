"""`data`: MNIST is in the cache, whole."""

from training.commands.context import mnist_of, say
from training.request import Request


def execute(request: Request) -> None:
    """Fetch MNIST, or verify the copy that is there."""
    mnist = mnist_of(request)
    rows = f"{len(mnist.train):,} training rows and {len(mnist.test):,} test rows"
    say(f"MNIST is whole: {rows} in {request.places.cache}")
