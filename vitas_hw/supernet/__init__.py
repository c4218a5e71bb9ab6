"""The weight-shared supernet, its extracted subnets and the plain timm model they are."""
