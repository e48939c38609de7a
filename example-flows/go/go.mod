module flows

go 1.25

require retake v0.0.0

replace retake => ../../guest-sdk/go
