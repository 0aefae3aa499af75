# What runs can be named: an image without a tag, or with `latest`, is another one tomorrow.
package towpath.deploy

deny contains finding if {
	input.environment.protected
	some finding in moving_images
}

warn contains finding if {
	not input.environment.protected
	some finding in moving_images
}

moving_images contains {
	"rule": "images/moving",
	"message": sprintf(
		"container `%s` of workload `%s` runs image `%s`, which may be another one tomorrow",
		[container_name, workload_name, container.image],
	),
	"remedy": "name a version, or better a digest: `IMAGE:1.2.3`, `IMAGE@sha256:...`",
} if {
	some workload_name, workload in input.workloads
	some container_name, container in workload.containers
	not container.imageUnused
	is_reference(container.image)
	moves(container.image)
}

# A program on this machine is no image.
is_reference(image) if {
	image != "."
	not startswith(image, "/")
}

# A port is in the part before the last slash, a tag in the part after it.
moves(image) if {
	not contains(image, "@")
	parts := split(image, "/")
	not contains(parts[count(parts) - 1], ":")
}

moves(image) if {
	not contains(image, "@")
	endswith(image, ":latest")
}
