"""`python -m jaxvae`."""

from jaxvae.cli import main

if __name__ == "__main__":
    main()
