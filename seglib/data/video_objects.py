"""DAVIS 2016: every fifth frame of its validation clips, as images with and without people.  For training only.

Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation", CVPR 2016.  Each clip
has masks of one main object.  Two layouts are read: as published (`JPEGImages/480p/CLIP/00005.jpg`,
`Annotations/480p/CLIP/00005.png`), and in one folder (`images/CLIP_00005.jpg`, `masks/CLIP_00005.png`).

The classes are those of `humans`.  What the mask of the main object becomes depends on the clip (`LABEL_OF_CLIP`):

- a person on foot (parkour): human;
- an animal, with no person in the clip (blackswan, camel, cows, dog, goat, libby): background, like all the rest;
- a person with a vehicle, a horse, a board or a harness, which the mask does not separate (bmx-trees, horsejump-high,
  kite-surf, motocross-jump, paragliding-launch): ignored.  The rest of the frame is background.

Eight clips are left out, because people who are not labelled are visible beside the object: spectators in breakdance,
dance-twirl, drift-chicane, drift-straight and soapbox; pedestrians and motorcyclists in car-roundabout, car-shadow and
scooter-black.  So is the last frame of motocross-jump (00035), the only one of that clip that shows spectators.
"""

import shutil
from pathlib import Path

import numpy as np

from .dataset import IGNORE, Pair, Source
from .download import Archive, github_urls
from .humans import SOURCE as HUMANS
from .images import DataError
from .masks import labels_by_id
from .matching import by_stem

HUMAN, BACKGROUND = 1, 0
LABEL_OF_CLIP = {
    "parkour": HUMAN,
    **dict.fromkeys(("blackswan", "camel", "cows", "dog", "goat", "libby"), BACKGROUND),
    **dict.fromkeys(("bmx-trees", "horsejump-high", "kite-surf", "motocross-jump", "paragliding-launch"), IGNORE),
}
LEFT_OUT = {"motocross-jump_00035"}
FRAME_STEP = 5
FOLDERS = ("JPEGImages", "Annotations")


def _keep_frames_and_masks(folder: Path) -> None:
    """Delete the other folders of the archive: optical flow and results of a method."""
    for entry in folder.iterdir():
        if entry.name not in FOLDERS:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


COMMIT = "1bde4d5f936304c5ad69e301956e9d65082dfbc8"
ARCHIVE = Archive(
    urls=github_urls("MathLee/EOR-VOS", COMMIT),
    folder="video_objects",
    inner="*/DAVIS",
    max_bytes=1 << 30,
    arrange=_keep_frames_and_masks,
)

INSTRUCTIONS = """\
DAVIS 2016, 480p: frames of video clips with masks of the main object.
1. Download the 480p images and annotations from https://davischallenge.org and unpack them.
2. Name the folder so that these exist:
       ROOT/video_objects/JPEGImages/480p/camel/00000.jpg ...
       ROOT/video_objects/Annotations/480p/camel/00000.png ...
3. python -m seglib data check video_objects --root ROOT"""


def find(root: Path) -> list[Pair]:
    """Return every fifth frame of the clips that are used, in either layout; keys are `CLIP_FRAME`."""
    folder = Path(root) / "video_objects"
    if (folder / "JPEGImages" / "480p").is_dir():
        pairs = _pairs_of_clips(folder / "JPEGImages" / "480p", folder / "Annotations" / "480p")
    elif (folder / "images").is_dir():
        pairs = by_stem(folder / "images", folder / "masks", "train")
    else:
        raise DataError(f"{folder}: video_objects is not there; see `python -m seglib data download video_objects`.")
    return [pair for pair in pairs if _is_used(pair.key)]


def _pairs_of_clips(images: Path, masks: Path) -> list[Pair]:
    """Return the frames of all clips that are used, in a layout with a folder for each clip."""
    pairs = []
    for clip in sorted(LABEL_OF_CLIP):
        for pair in by_stem(images / clip, masks / clip) if (images / clip).is_dir() else []:
            pairs.append(Pair(f"{clip}_{pair.key}", pair.image, pair.mask, "train"))
    return pairs


def _is_used(key: str) -> bool:
    clip, _, frame = key.rpartition("_")
    return clip in LABEL_OF_CLIP and frame.isdecimal() and int(frame) % FRAME_STEP == 0 and key not in LEFT_OUT


def decode(values: np.ndarray, path: Path) -> np.ndarray:
    """Return the labels of one frame: what its clip makes of the main object, and background elsewhere."""
    clip = path.parent.name if path.parent.name in LABEL_OF_CLIP else path.stem.rpartition("_")[0]
    return labels_by_id(values, path, {0: BACKGROUND, 255: LABEL_OF_CLIP[clip]})


SOURCE = Source(
    name="video_objects",
    title="DAVIS 2016, objects in video",
    classes=HUMANS.classes,
    palette=HUMANS.palette,
    find=find,
    decode=decode,
    instructions=INSTRUCTIONS,
    archives=(ARCHIVE,),
    training_only=True,
)
