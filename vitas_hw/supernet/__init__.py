"""The weight-shared super-transformer, its extracted subnets and the plain timm model they are."""
