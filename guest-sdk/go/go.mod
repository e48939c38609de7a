module retake

go 1.25
