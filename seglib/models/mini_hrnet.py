"""Mini-HRNet: four small networks based on HRNet.

Based on Wang et al., "Deep High-Resolution Representation Learning for Visual Recognition", TPAMI 2020,
https://arxiv.org/abs/1908.07919.  The first three are variants from an earlier project; the fourth is new.  All except
mini_hrnet_v3 are `HRNet` with other keyword arguments.  Parameter counts are for 19 classes, and MACs
(multiply-accumulate operations) are for one image of 512x1024 pixels:

- mini_hrnet_v1 (17.2M, 101 G) is HRNet-W48 without its fourth stage.  The head uses the three branches of stage 3.
- mini_hrnet_v2 (13.4M, 62 G) is HRNet-W48 with fewer modules and blocks.  Each stage has one module, and each branch
  has two blocks instead of four.  The earlier project does not state these numbers, so we chose them.
- mini_hrnet_v3 (9.5M, 77 G) has new blocks and stages.  `course.mini_hrnet_v3` implements the published version.
- mini_hrnet (6.0M, 17 G) is our design.  HRNet-W18 (9.6M, 37 G) spends a third of its MACs before the second branch
  starts, and more than half in eight modules with four equal blocks per branch.  Therefore, in mini_hrnet,
    - the stem and stage 1 have half the width, and stage 1 has half the depth (1.6 G instead of 10.7 G);
    - each branch has two blocks per module instead of four.  The second block has dilation 2, and therefore the same
      receptive field as two blocks without dilation;
    - stages 3 and 4 have two modules each instead of four and three;
    - the head has 128 channels (1.6 G instead of 2.6 G, although the branches are wider);
    - the branches are wider: 24 channels at stride 4 instead of 18.  All widths are multiples of 8, which is efficient
      in convolution libraries on CPUs and GPUs.  Depthwise convolutions would need fewer MACs but are slower on most
      processors.
"""

from typing import Any

# The keyword arguments of `HRNet` for each network.
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
