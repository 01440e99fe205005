# Stands for the CMake package of a built 3D Slicer, which no test machine has: it takes the calls of a scripted
# extension, refuses a list that names a file that is not there or leaves one out, and really copies and installs what
# is listed. It compiles nothing and tests no module.
set(Slicer_FOUND TRUE)
set(Slicer_USE_FILE "${CMAKE_CURRENT_LIST_DIR}/UseSlicer.cmake")
set(Slicer_EXTENSION_GENERATE_CONFIG "${CMAKE_CURRENT_LIST_DIR}/CheckMetadata.cmake")
set(Slicer_EXTENSION_CPACK "${CMAKE_CURRENT_LIST_DIR}/NoPackage.cmake")
