;; A component with the right export, which imports something that no host has.
;;
;; Made so that everything but the import is in order: the host must name the import.
(component
  (import "acme:warp/drive@1.0.0" (instance $drive
    (export "engage" (func (param "factor" u32)))
  ))
  (core module $m
    (import "drive" "engage" (func $engage (param i32)))
    (func (export "run")
      (call $engage (i32.const 9)))
  )
  (core func $engage (canon lower (func $drive "engage")))
  (core instance $drive-core (export "engage" (func $engage)))
  (core instance $i (instantiate $m (with "drive" (instance $drive-core))))
  (func $run (canon lift (core func $i "run")))
  (instance $plugin (export "describe" (func $run)))
  (export "retake:flow/plugin@0.1.0" (instance $plugin))
)
