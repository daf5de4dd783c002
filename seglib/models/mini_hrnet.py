"""Mini-HRNet: four small networks based on HRNet.

Based on Wang et al., "Deep High-Resolution Representation Learning for Visual Recognition", TPAMI 2020,
https://arxiv.org/abs/1908.07919.  The first three are variants of an earlier project; the fourth is new.
All but the third are options of `HRNet`.  Parameters are with 19 classes, MACs (multiply-accumulate operations) for
one image of 512x1024:

- mini_hrnet_v1 (17.2M, 101 G) is HRNet-W48 without its fourth stage: three branches, and a head over three.
- mini_hrnet_v2 (13.4M, 62 G) is HRNet-W48 with fewer repetitions: every stage has one module, and a branch has two
  blocks instead of four.  The earlier project gives no numbers for this idea; these are our choice.
- mini_hrnet_v3 (9.5M, 77 G) has new blocks and stages: `course.mini_hrnet_v3` has it as it was published.
- mini_hrnet (6.0M, 17 G) is ours.  HRNet-W18 (9.6M, 37 G) spends a third of its MACs before the second branch starts,
  and more than half on eight modules with four equal blocks in a branch.  Therefore
    - stem and stage 1 are half as wide, and stage 1 half as deep (1.6 G instead of 10.7);
    - a branch has two blocks in a module instead of four, the second with dilation 2, which has the receptive field
      of two plain ones;
    - stages 3 and 4 have two modules instead of four and three;
    - the head has 128 channels (1.6 G instead of 2.6, although the branches are wider);
    - part of the savings goes into wider branches: 24 channels at stride 4 instead of 18.  All widths are multiples
      of 8, which suits convolution libraries on CPUs and GPUs.  Depthwise convolutions would need fewer MACs but run
      slower on most processors.
"""

from typing import Any

# Options of `HRNet`.
MINI_HRNET_CONFIGS: dict[str, dict[str, Any]] = {
    "mini_hrnet_v1": dict(widths=(48, 96, 192), modules=(1, 4)),
    "mini_hrnet_v2": dict(widths=(48, 96, 192, 384), modules=(1, 1, 1), dilations=(1, 1)),
    "mini_hrnet": dict(
        widths=(24, 48, 96, 192),
        modules=(1, 2, 2),
        dilations=(1, 2),
        stem_width=32,
        stage1_width=32,
        stage1_blocks=2,
        head_width=128,
    ),
}
