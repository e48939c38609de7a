;; A component that knows nothing of `retake:flow`, and exports nothing that could be called.
(component
  (core module $m
    (func (export "add") (param i32 i32) (result i32)
      (i32.add (local.get 0) (local.get 1)))
  )
  (core instance $i (instantiate $m))
)
