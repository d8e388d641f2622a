"""``simcse-kit`` under FSDP on a CPU, where accelerate 1.15 leaves it out: started by ``accelerate launch``."""

from __future__ import annotations

from typing import Any

import torch


def shard_on_cpu() -> None:
    """Make accelerate shard here as on accelerators, and the run take the CPU for one."""
    from accelerate.state import AcceleratorState, PartialState
    from accelerate.utils import DistributedType

    from simcse_kit.training import settled
    from simcse_kit.training.launched import check_sharding

    before = AcceleratorState.__init__

    def init(self: Any, *args: Any, fsdp_plugin: Any = None, **kwargs: Any) -> None:
        before(self, *args, fsdp_plugin=fsdp_plugin, **kwargs)
        if fsdp_plugin is not None:
            self.fsdp_plugin = fsdp_plugin
            self.distributed_type = PartialState._shared_state["distributed_type"] = DistributedType.FSDP

    AcceleratorState.__init__ = init
    settled.check_sharding = lambda config, device: check_sharding(config, torch.device("cuda"))  # type: ignore[attr-defined]


if __name__ == "__main__":
    from simcse_kit.cli import main

    shard_on_cpu()
    main()
