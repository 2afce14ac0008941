"""What a run looks like: its pictures by name."""

from jaxvae.pictures.animation import Animation as Animation
from jaxvae.pictures.catalog import PICTURES as PICTURES
from jaxvae.pictures.catalog import Picture as Picture
from jaxvae.pictures.catalog import choose_pictures as choose_pictures
from jaxvae.pictures.draw import Subject as Subject
