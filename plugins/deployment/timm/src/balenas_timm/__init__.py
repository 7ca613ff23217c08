"""Found networks as timm models: training with timm's parts, and export."""
